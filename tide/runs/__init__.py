"""Runs on disk: their folder, where they came from, what they say, and opening them again with their data."""

from tide.runs.folder import RunFolder
from tide.runs.reopen import Reopened, TestData, reopen

__all__ = ["Reopened", "RunFolder", "TestData", "reopen"]
