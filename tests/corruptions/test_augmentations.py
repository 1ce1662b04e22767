"""The augmentations of enlarged photos against plain loops, and the same for any batch and order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.corruptions.conftest import scenes
from tide.corruptions.augmentations import AUGMENTATIONS, BLUR, DEGREES, DEVIATION, JITTER, perturb
from tide.corruptions.draws import Draws
from tide.errors import DataError


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_image_is_the_same_in_any_batch_and_order(name):
    images = scenes(5, 3, 24)
    whole = perturb(images, name, seed=3, indices=range(5))
    one_by_one = [perturb(images[place : place + 1], name, seed=3, indices=[place]) for place in range(5)]
    assert torch.equal(whole, torch.cat(one_by_one))
    order = [3, 0, 4]
    assert torch.equal(perturb(images[order], name, seed=3, indices=order), whole[order])
    assert whole.shape == images.shape
    assert not torch.equal(whole, images)
    drawn = name in ("rotation", "colour", "noise")
    assert torch.equal(perturb(images, name, seed=4, indices=range(5)), whole) != drawn
    assert perturb(images[:, :1], name, seed=3, indices=range(5)).shape == (5, 1, 24, 24)


def numbers(name: str, count: int) -> np.ndarray:
    return Draws([7], seed=1, name=name, severity=0).uniform(count)[0].astype(float)


def changed(image: torch.Tensor, name: str) -> np.ndarray:
    return perturb(image[None], name, seed=1, indices=[7])[0].numpy().astype(float)


def test_rotation_reads_each_pixel_from_where_it_was():
    image = scenes(1, 1, 13, 11)[0]
    angle = math.radians(DEGREES * (2 * numbers("rotation", 1)[0] - 1))
    assert abs(math.degrees(angle)) > 1
    old, new = image[0].numpy(), changed(image, "rotation")[0]

    def at(row: int, column: int) -> float:
        return float(old[row, column]) if 0 <= row < 13 and 0 <= column < 11 else 0.0

    for row in range(13):
        for column in range(11):
            down, right = row - 6, column - 5
            y = 6 + math.cos(angle) * down + math.sin(angle) * right
            x = 5 - math.sin(angle) * down + math.cos(angle) * right
            top, left = math.floor(y), math.floor(x)
            value = sum(
                at(top + i, left + j) * (1 - abs(y - top - i)) * (1 - abs(x - left - j)) for i in (0, 1) for j in (0, 1)
            )
            assert abs(new[row, column] - value) <= 1.01, (row, column)


def test_colour_scales_brightness_contrast_and_saturation_in_turn():
    image = scenes(1, 3, 9)[0]
    brightness, contrast, saturation = 1 + JITTER * (2 * numbers("colour", 3) - 1)
    weights = np.array([0.299, 0.587, 0.114])
    pixels = np.minimum(image.permute(1, 2, 0).numpy() * brightness, 255)
    mean = float((pixels @ weights).mean())
    pixels = np.clip(mean + contrast * (pixels - mean), 0, 255)
    grey = (pixels @ weights)[:, :, None]
    pixels = np.clip(grey + saturation * (pixels - grey), 0, 255)
    assert np.abs(changed(image, "colour").transpose(1, 2, 0) - pixels).max() <= 1.01


def test_flip_noise_and_blur_have_their_strengths():
    image = torch.full((3, 112, 112), 128, dtype=torch.uint8)
    assert changed(image, "noise").std() == pytest.approx(255 * DEVIATION, rel=0.02)
    image[:, :, 56:] = 255
    image[:, :, :56] = 0
    assert np.array_equal(changed(image, "flip"), image.flip(2).numpy())
    # Across an edge a Gaussian blur is the normal distribution function.
    profile = changed(image, "blur")[0, 50] / 255
    wanted = [0.5 * (1 + math.erf((place - 55.5) / (BLUR * 112) / math.sqrt(2))) for place in range(112)]
    assert np.abs(profile - wanted).max() < 0.02


def test_bad_input_gives_one_line():
    images = scenes(2, 3, 9)
    for name, indices, met in (
        ("flop", [0, 1], "did you mean 'flip'"),
        ("flip", [0], "indices must be 2, one for each image, got 1"),
    ):
        with pytest.raises(DataError, match=met) as caught:
            perturb(images, name, seed=0, indices=indices)
        assert "\n" not in str(caught.value)
