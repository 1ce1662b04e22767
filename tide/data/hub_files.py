"""Which Parquet files make up a data set of the Hugging Face hub: in a local copy, or on the hub itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tide.errors import DataError

# What the parts may be called, the preferred name first: the labels of a part called test are often kept secret.
PARTS = {"train": ("train", "training"), "test": ("validation", "val", "valid", "dev", "test")}
_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_ANSWERS_WITHIN = 30.0  # seconds


def is_repository(place: str) -> bool:
    """Tell whether ``place`` names a data set on the hub, ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.

    A folder of that name comes first.
    """
    return _REPOSITORY.fullmatch(place) is not None and not Path(place).exists()


def parquet_files(place: str) -> list[str]:
    """Return all Parquet files of a data set, sorted.

    Args:
        place: a folder, or a data set on the hub as :func:`is_repository` describes.

    Returns:
        Paths, or on the hub addresses ``hf://datasets/OWNER/NAME@COMMIT/PATH``, so that all are of one version.

    Raises:
        DataError: the hub does not answer, or has no such data set or revision.
    """
    if is_repository(place):
        return _files_on_hub(place)
    return sorted(str(file) for file in Path(place).expanduser().rglob("*.parquet"))


def _files_on_hub(place: str) -> list[str]:
    from huggingface_hub import HfApi

    found = _REPOSITORY.fullmatch(place)
    assert found is not None
    try:
        about = HfApi().dataset_info(found["id"], revision=found["revision"], timeout=_ANSWERS_WITHIN)
    except Exception as error:  # of the hub's library or of its network library
        raise DataError(
            f"{place}: no folder and no answer of the hub met ({one_line(error)}), a folder or OWNER/NAME[@REVISION] "
            "wanted: check the name and the network; a closed data set wants HF_TOKEN to be set"
        ) from error
    files = sorted(file.rfilename for file in about.siblings or () if file.rfilename.endswith(".parquet"))
    return [f"hf://datasets/{found['id']}@{about.sha}/{file}" for file in files]


def files_of_part(place: str, files: Sequence[str], part: str) -> tuple[list[str], str]:
    """Return the files of a part and what the part is called in this data set.

    The files belong to the part that they or their folder are named after: ``train-00000-of-00002.parquet`` or
    ``train/0000.parquet``.

    Raises:
        DataError: there are none.
    """
    for name in PARTS[part]:
        paths = {file: PurePosixPath(Path(file).as_posix()) for file in files}
        found = [file for file, path in paths.items() if name in (path.stem.split("-")[0], path.parent.name)]
        if found:
            return found, name
    raise DataError(
        f"{place}: no Parquet files of a part called {' or '.join(PARTS[part])} met, "
        f"{PARTS[part][0]}-*.parquet wanted: use a data set that has this part, in files of this kind"
    )


def one_line(error: BaseException) -> str:
    """Return what an error of another library says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
