"""The library of each type; tests that need one are skipped only where no compiler exists."""

from __future__ import annotations

import pytest
import torch

from tide.native.library import Library, NativeError, load


def loaded(dtype: torch.dtype) -> Library:
    library = load(dtype)
    if isinstance(library, NativeError):
        if "no C++ compiler" in str(library):
            pytest.skip(str(library))
        raise library
    return library


@pytest.fixture(scope="session")
def double() -> Library:
    """The library of float64, that tests alone use: against eager it is exact to rounding."""
    return loaded(torch.float64)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library of float32, and an environment in which a forward pass must use it."""
    library = loaded(torch.float32)
    monkeypatch.setenv("TIDE_NATIVE", "require")
    return library
