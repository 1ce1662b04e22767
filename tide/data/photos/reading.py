"""How photos are decoded that are not in memory, and what sets and streams of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from tide.data.checks import check_at_least
from tide.data.photos.sources import NamedPhotos
from tide.errors import DataError

LIMIT = 100  # unreadable photos that a data set may have


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a set of photos is decoded.

    Attributes:
        workers: processes that decode; with 0 photos are decoded in this process, with the same result.
        limit: unreadable photos of the set to put up with, at least 0.
        on_unreadable: called in this process with a line about each unreadable photo, once for the life of the set.

    Raises:
        DataError: a number is below 0.
    """

    workers: int = 0
    limit: int = LIMIT
    on_unreadable: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        check_at_least(("workers", self.workers, 0), ("limit", self.limit, 0))


class Photos:
    """Photos of one size, of which some may turn out to be unreadable: the base of dataclasses with these fields."""

    source: NamedPhotos
    size: int
    channels: int
    decoding: Decoding
    unreadable: dict[int, str]

    def __len__(self) -> int:
        """Return the number of photos, readable or not."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a decoded image."""
        return self.channels, self.size, self.size

    def decoded_with(self, decoding: Decoding) -> Self:
        """Return the same photos, decoded in this way; both know which are unreadable."""
        same = replace(cast(Any, self), decoding=decoding)
        object.__setattr__(same, "unreadable", self.unreadable)
        return cast(Self, same)

    def note_unreadable(self, found: Mapping[int, str]) -> None:
        """Note unreadable photos by position, report those not yet known; raises DataError once there are too many."""
        for position, message in found.items():
            if position not in self.unreadable:
                self.unreadable[position] = message
                if self.decoding.on_unreadable is not None:
                    self.decoding.on_unreadable(message)
            if len(self.unreadable) > self.decoding.limit:
                first, *_, last = (*self.unreadable, position)
                raise DataError(
                    f"there are {len(self.unreadable)} unreadable photos, at most {self.decoding.limit} are wanted: "
                    f"replace or remove them; the first is {self.source.name(first)}, the last {self.source.name(last)}"
                )
