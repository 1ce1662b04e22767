"""What sets and streams of photos have in common."""

from __future__ import annotations

from typing import Protocol


class NamedPhotos(Protocol):
    """Photos that can be counted and named, by number from 0."""

    def __len__(self) -> int:
        """Return the number of photos."""
        ...

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""
        ...


class Photos:
    """Photos of one size, of which some may turn out to be unreadable: the base of dataclasses with these fields."""

    source: NamedPhotos
    size: int
    channels: int
    unreadable: dict[int, str]

    def __len__(self) -> int:
        """Return the number of photos, readable or not."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a decoded image."""
        return self.channels, self.size, self.size
