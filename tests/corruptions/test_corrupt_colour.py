"""Brightness, saturation and contrast against their definitions, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.corruptions import slow
from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.corruptions.tables import constants


def all_kinds() -> torch.Tensor:
    """Pixels of every kind: random colours, grays, pure colours, black and white."""
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    image[:, :4] = np.arange(128).reshape(4, 32) * 2
    corners = np.array([[red, green, blue] for red in (0, 255) for green in (0, 255) for blue in (0, 255)])
    image[:, 4, :8] = corners.T
    return torch.from_numpy(image)[None]


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [32, 64, 224])
def test_brightness_adds_to_the_value(severity, side):
    (added,) = constants("brightness", severity, side)
    image = all_kinds()
    image = torch.cat([image] * (side // 32), 2)
    image = torch.cat([image] * (side // 32), 3)[:, :, : max(33, side), :side]
    wanted = slow.hsv(
        image[0, :, :32, :32].numpy(), lambda hue, saturation, value: (hue, saturation, min(1, value + added))
    )
    met = corrupt(image, "brightness", severity, seed=0)[0, :, :32, :32].numpy()
    assert np.array_equal(met, slow.truncated(wanted))


def test_brightness_of_gray_adds_to_every_pixel():
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    brighter = corrupt(image, "brightness", 5, seed=0)
    wanted = torch.arange(256) + 255 * 0.3
    assert torch.equal(brighter.flatten(), (wanted + 1 / 512).clamp(max=255).byte())


@pytest.mark.parametrize("severity", range(1, 6))
def test_saturate_changes_the_saturation(severity):
    factor, added = constants("saturate", severity, 32)
    image = all_kinds()
    wanted = slow.hsv(
        image[0].numpy(),
        lambda hue, saturation, value: (hue, min(1, max(0, saturation * factor + added)), value),
    )
    difference = corrupt(image, "saturate", severity, seed=0)[0].numpy().astype(int) - slow.truncated(wanted)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.001


def test_saturate_leaves_gray_images_as_they_are():
    images = scenes(2, 1, 28)
    for severity in range(1, 6):
        assert torch.equal(corrupt(images, "saturate", severity, seed=0), images)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 3), (224, 3)])
def test_contrast_keeps_a_share_of_the_distance_from_the_mean(severity, side, channels):
    images = scenes(2, channels, side)
    (share,) = constants("contrast", severity, side)
    levels = images.double().numpy()
    means = levels.mean((2, 3), keepdims=True)
    wanted = slow.truncated(means + share * (levels - means))
    difference = corrupt(images, "contrast", severity, seed=0).numpy().astype(int) - wanted
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.001
