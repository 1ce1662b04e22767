"""The data set of an experiment and its augmentation. ``kind`` says which section it is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from tide.config.checks import not_negative, one_of
from tide.errors import check, shown

NamedSet = Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
Photos = Literal["in_memory", "streamed"]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """What every kind of data has."""

    kind: str
    name: str
    validation: float = 0.0
    """Training images held out to choose by, the same share of each class: a number, or a share below 1. Evaluations
    of the run and its best checkpoint are then on these, and the test split is never looked at; 0: on the test
    split, as in the paper."""

    @property
    def measured_on(self) -> str:
        """What the evaluations of a run are on, in a word."""
        return "validation" if self.validation else "test"

    @property
    def title(self) -> str:
        """The data as ``--data`` takes them: :func:`data_config` reads it."""
        return f"{self.kind}:{self.name}" if self.kind in ("folder", "hub") else self.name

    def __post_init__(self) -> None:
        one_of("data", "kind", self.kind, (str(type(self).__dataclass_fields__["kind"].default),))
        check(isinstance(self.name, str), f"data.name is {shown(self.name)}, a text is wanted")
        check(bool(self.name), "data.name is empty, a name or a path is wanted: folder:. is the folder at hand")
        prefix = self.name.partition(":")[0]
        check(
            prefix not in ("folder", "hub"),
            f"data.name is {self.name!r}, the place alone is wanted: --data names both, data.kind the kind",
        )
        not_negative("data", validation=self.validation)
        check(
            self.validation < 1 or self.validation == int(self.validation),
            f"data.validation is {self.validation}, a whole number of images or a share below 1 is wanted",
        )


@dataclass(frozen=True, kw_only=True)
class NamedDataConfig(_Data):
    """A published data set, small enough for memory."""

    kind: Literal["named"] = "named"
    """Which data: named, folder, hub or drawn."""
    name: NamedSet = "mnist"
    """Its name."""
    crop_padding: int = 0
    """Random crop after padding by this many pixels."""
    flip: bool = False
    """Random horizontal flip."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("data", "name", self.name, get_args(NamedSet))
        not_negative("data", crop_padding=self.crop_padding)


@dataclass(frozen=True, kw_only=True)
class FolderConfig(_Data):
    """Photos in a folder, ``train/CLASS/*`` and ``val/CLASS/*``."""

    kind: Literal["folder"] = "folder"
    """Which data: named, folder, hub or drawn."""
    name: str = "photos"
    """Path of the folder."""
    photos: Photos = "in_memory"
    """Photos `in_memory` are decoded once, to the square in their middle; `streamed` ones whenever they are used, in
    training to a random part of 8 to 100 % of their area: for data that do not fit into memory."""
    crop_padding: int = 0
    """Random crop after padding by this many pixels; of photos in memory."""
    flip: bool = False
    """Random horizontal flip."""
    unreadable_limit: int = 100
    """Photos that may be unreadable; more end the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("data", crop_padding=self.crop_padding, unreadable_limit=self.unreadable_limit)
        one_of("data", "photos", self.photos, get_args(Photos))
        check(
            self.photos == "in_memory" or self.crop_padding == 0,
            f"data.crop_padding is {self.crop_padding}, 0 is wanted: streamed photos are cropped in another way",
        )


@dataclass(frozen=True, kw_only=True)
class HubConfig(_Data):
    """Photos in Parquet files, as on the Hugging Face hub, decoded as streamed ones are."""

    kind: Literal["hub"] = "hub"
    """Which data: named, folder, hub or drawn."""
    name: str = "photos"
    """Path of a folder with the files, or OWNER/NAME[@REVISION] on the hub."""
    flip: bool = False
    """Random horizontal flip."""
    unreadable_limit: int = 100
    """Photos that may be unreadable; more end the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("data", unreadable_limit=self.unreadable_limit)


@dataclass(frozen=True, kw_only=True)
class DrawnConfig(_Data):
    """Samples of a task that a program draws, without end."""

    kind: Literal["drawn"] = "drawn"
    """Which data: named, folder, hub or drawn."""
    name: str = "parity"
    """Name of the task: parity, sort, maze, qamnist, or one that was registered."""


DataConfig = NamedDataConfig | FolderConfig | HubConfig | DrawnConfig


def data_config(text: str, base: DataConfig | None = None) -> DataConfig:
    """Return the settings for a data set as ``--data`` takes it; what its kind shares with ``base`` stays as there.

    That is a name, ``folder:DIR`` (photos), ``hub:DIR`` or ``hub:OWNER/NAME[@REVISION]`` (photos in Parquet files);
    a name that is of no published set is that of a task. Raises :class:`~tide.errors.ConfigError` for an empty one.
    """
    check(isinstance(text, str), f"data set is {shown(text)}, a name, folder:DIR or hub:DIR is wanted")
    kind, colon, place = text.partition(":")
    section: Any = {"folder": FolderConfig, "hub": HubConfig}.get(kind) if colon else None
    if section is None:
        section, place = (NamedDataConfig if text in get_args(NamedSet) else DrawnConfig), text
    names = {field.name for field in fields(section)} - {"kind", "name"}
    shared = {name: getattr(base, name) for name in names if hasattr(base, name)}
    return cast(DataConfig, section(**shared, name=place))
