"""What the commands that make the page have in common: models with their titles, and a few test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tide.config import FolderConfig
from tide.data.sets import LabelledSet
from tide.errors import InputError
from tide.export.page import Shown, check_shown
from tide.runs.reopen import open_with_source

TITLES = {"tide": "TIDE", "ctm": "CTM", "lstm": "LSTM"}


def shown_with_examples(
    runs: Sequence[Path], checkpoint: str, data_dir: Path | None
) -> tuple[list[Shown], LabelledSet | None]:
    """Return the models in ``runs`` and the test samples of the first, None where its data are not at hand.

    Raises :class:`InputError` as :func:`~tide.export.page.check_shown` does.
    """
    opened = [open_with_source(run, checkpoint, directory=data_dir) for run in runs]
    kinds = [TITLES.get(model.config.core.kind, model.config.core.kind) for model, _ in opened]
    titles = [kind if kinds.count(kind) == 1 else f"{kind}: {run.name}" for kind, run in zip(kinds, runs, strict=True)]
    data = [source.data.title if source.data is not None else None for _, source in opened]
    shown = [Shown(title, model, name) for title, (model, _), name in zip(titles, opened, data, strict=True)]
    check_shown(shown)
    source = opened[0][1]
    try:
        # Photos stay in their files: a few of them are wanted, not a whole set in memory.
        if isinstance(source.data, FolderConfig):
            source = source._replace(data=FolderConfig(name=source.data.name, photos="streamed"))
        return shown, source.read(runs[0]).test
    except InputError:
        return shown, None
