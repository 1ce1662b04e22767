"""``tide demo``: the page of ``tide export --html``, served on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.device import set_threads


@dataclass(frozen=True, kw_only=True)
class DemoArguments:
    """Options of the demo."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders that save_pretrained wrote, or pretrained:NAME, side by side (none: pretrained:mnist)."""
    port: int = 8000
    """Port of 127.0.0.1, 0 for any free one."""
    open: bool = True
    """Open the page in the browser."""
    data_dir: Path | None = None
    """Folder of the data sets, for a few test images on the page."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command until it is interrupted."""
    given = parse(
        DemoArguments, arguments, prog="tide demo", description="Draw, watch models think, disturb them: a page, here."
    )
    set_threads(given.threads)
    from tide.export.onnx import check_installed

    check_installed("starlette", "uvicorn", extra="demo")
    import uvicorn

    from tide.cli.pages import shown_with_examples
    from tide.export.page import page
    from tide.export.server import HOST, application, listen

    with listen(given.port) as listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print("making the page, about 20 seconds", flush=True)
        runs = given.runs or (Path("pretrained:mnist"),)
        shown, examples = shown_with_examples(runs, given.checkpoint, given.data_dir)
        server = uvicorn.Server(uvicorn.Config(application(page(shown, examples), shown), log_level="warning"))
        print(f"{address}  Ctrl-C ends it", flush=True)
        if given.open:
            import webbrowser

            webbrowser.open(address)
        server.run(sockets=[listening])
    return 0
