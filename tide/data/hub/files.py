"""Which Parquet files make up a data set of the Hugging Face hub: in a local copy, or on the hub itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tide.data.photos.folders import PARTS
from tide.errors import DataError, one_line

_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?P<folder>(/\w[\w.-]*)*)(@(?P<revision>[\w./-]+))?")
_ANSWERS_WITHIN = 30.0  # seconds


def is_repository(place: str) -> bool:
    """Tell whether ``place`` names a data set on the hub: ``OWNER/NAME``, then perhaps ``/FOLDER`` and ``@REVISION``.

    A folder that is here comes first, unless a revision is named.
    """
    found = _REPOSITORY.fullmatch(place)
    return found is not None and (found["revision"] is not None or not Path(place).exists())


def absolute_place(place: str) -> str:
    """Return a folder by its absolute path, and the name of a data set on the hub as it is."""
    return place if is_repository(place) else str(Path(place).expanduser().resolve())


def parquet_files(place: str) -> tuple[str, dict[str, str]]:
    """Find all Parquet files of a data set.

    Args:
        place: a folder, or a data set on the hub as :func:`is_repository` describes.

    Returns:
        The place, on the hub with the commit as revision, so that it stands for this version; and the files, sorted:
        the path of each, or its address ``hf://datasets/OWNER/NAME@COMMIT/PATH``, by its path within the place.

    Raises:
        DataError: there is no such folder, the hub does not answer, or has no such data set or revision.
    """
    if is_repository(place):
        return _files_on_hub(place)
    folder = Path(place)
    if not place or not folder.is_dir():
        raise DataError(f"hub:{place} is no folder that exists, hub:DIR or hub:OWNER/NAME is wanted: check the path")
    return place, {file.relative_to(folder).as_posix(): str(file) for file in sorted(folder.rglob("*.parquet"))}


def _files_on_hub(place: str) -> tuple[str, dict[str, str]]:
    from huggingface_hub import HfApi

    found = _REPOSITORY.fullmatch(place)
    assert found is not None
    try:
        about = HfApi().dataset_info(found["id"], revision=found["revision"], timeout=_ANSWERS_WITHIN)
    except Exception as error:  # of the hub's library or of its network library
        raise DataError(
            f"{place}: no folder and no answer of the hub ({one_line(error)}), a folder or OWNER/NAME[@REVISION] "
            "is wanted: check the name and the network; a closed data set wants HF_TOKEN to be set"
        ) from error
    root, folder = f"hf://datasets/{found['id']}@{about.sha}", found["folder"].removeprefix("/")
    paths = sorted(PurePosixPath(file.rfilename) for file in about.siblings or ())
    files = {
        path.relative_to(folder).as_posix(): f"{root}/{path}"
        for path in paths
        if path.suffix == ".parquet" and path.is_relative_to(folder)
    }
    return f"{found['id']}{found['folder']}@{about.sha}", files


def files_of_part(place: str, files: Mapping[str, str], part: str) -> tuple[list[str], str]:
    """Return the files of a part and what the part is called in this data set.

    The files belong to the part that they or their folder are named after: ``train-00000-of-00002.parquet`` or
    ``train/0000.parquet``.

    Args:
        place: the data set, for messages.
        files: all of its files by their paths within it.
        part: ``train`` or ``val``.

    Raises:
        DataError: there are none, or they lie in several folders, as those of several data sets do.
    """
    for name in PARTS[part]:
        found = {}
        for inner, file in files.items():
            path = PurePosixPath(inner)
            if name in (path.stem.split("-")[0], path.parent.name):
                found[file] = path.parent.parent if path.parent.name == name else path.parent
        folders = sorted({str(folder) for folder in found.values()})
        if len(folders) > 1:
            raise DataError(
                f"{place}: files of {name} are in the folders {', '.join(folders)}, one is wanted: name the one "
                "to take, as in hub:DIR/FOLDER or hub:OWNER/NAME/FOLDER"
            )
        if found:
            return list(found), name
    raise DataError(
        f"{place}: no Parquet files of a part called {' or '.join(PARTS[part])}, "
        f"{PARTS[part][0]}-*.parquet is wanted: use a data set that has this part, in files of this kind"
    )
