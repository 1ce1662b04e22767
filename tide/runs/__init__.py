"""Runs on disk: their folder, where they came from, what they say, and opening them again with their data."""

from tide.runs.folder import RunFolder
from tide.runs.reopen import NamedSplit, Reopened, reopen

__all__ = ["NamedSplit", "Reopened", "RunFolder", "reopen"]
