"""Images for the tests of the corruptions: drawn ones, and real ones where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from tide.data import decode, load
from tide.errors import DataError

Scenes = Callable[[int, int, int], torch.Tensor]


def scenes(count: int, channels: int, height: int, width: int | None = None) -> torch.Tensor:
    """Draw images with surfaces, edges, black, white and colours: uint8, shape (count, channels, height, width)."""
    width = width or height
    random = np.random.default_rng(5)
    soft = ndimage.gaussian_filter(random.normal(size=(count, channels, height, width)), (0, 0, 3, 3), mode="wrap")
    levels = 128 + 500 * soft
    for image in levels:
        for _ in range(6):
            top, left = random.integers(0, height - 3), random.integers(0, width - 3)
            colour = random.choice([0, 60, 130, 200, 255], (channels, 1, 1))
            image[:, top : top + random.integers(2, height // 2), left : left + random.integers(2, width // 2)] = colour
    return torch.from_numpy(np.clip(levels, 0, 255).astype(np.uint8))


def real_folder() -> Path:
    """The folder of the real data sets."""
    chosen = os.environ.get("TIDE_DATA")
    return Path(chosen) if chosen else Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_images() -> Callable[[int], torch.Tensor]:
    """Gives real images of 28 (grey), 32, 64 or 224 pixels, or skips the test where there are none."""

    @cache
    def images(size: int) -> torch.Tensor:
        folder = real_folder()
        try:
            if size <= 32:
                return load({28: "fashion-mnist", 32: "cifar10"}[size], directory=folder).test.images[:96]
        except DataError as error:
            pytest.skip(f"no real images: {error}")
        photos = sorted((folder / "imagenet-mini" / "val").glob("*/*"))
        if not photos:
            pytest.skip(f"no imagenet-mini in {folder}: set TIDE_DATA to the folder of the real data sets")
        return torch.stack([decode(photo, size, 3) for photo in photos[: 24 if size == 64 else 4]])

    return images
