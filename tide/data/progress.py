"""Progress bars for long work, shown only to people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import Progress


def progress_bar(unit: Literal["pieces", "bytes"], *, shown: bool = True) -> Progress:
    """Return a progress bar on standard error, silent where that is no terminal or ``shown`` is false.

    Args:
        unit: ``pieces`` shows how many are done; ``bytes`` shows the amount and the rate.
        shown: whether the work is long enough to deserve a bar.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amount = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *amount,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (shown and sys.stderr.isatty()),
    )
