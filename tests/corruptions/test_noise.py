"""Noise, colour and storing: each value is what its definition gives."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from tests.corruptions import slow
from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.corruptions.draws import Draws
from tide.corruptions.noise import affine, mirror_about_border, mirror_about_pixel, sample, smoothing
from tide.corruptions.tables import constants

LEVEL = 120  # far from black and white, so that little is cut off


def residuals(name: str, severity: int, side: int = 32, level: int = LEVEL) -> torch.Tensor:
    """Noise on an even grey; 0.5 makes up for rounding down."""
    images = torch.full((40, 3, side, side), level, dtype=torch.uint8)
    return corrupt(images, name, severity, seed=1).double() + 0.5 - level


@pytest.mark.parametrize("severity", range(1, 6))
def test_gaussian_noise(severity):
    noise = residuals("gaussian_noise", severity)
    deviation = 255 * constants("gaussian_noise", severity, 32)[0]
    assert float(noise.mean()) == pytest.approx(0, abs=5 * deviation / noise.numel() ** 0.5)
    assert float(noise.var()) == pytest.approx(deviation**2 + 1 / 12, rel=0.03)
    normal = (noise / deviation).flatten()
    assert float((normal**3).mean()) == pytest.approx(0, abs=0.05)
    assert float((normal**4).mean()) == pytest.approx(3, abs=0.15)
    flat = noise.flatten(1)
    correlation = torch.corrcoef(flat[:8])
    assert (correlation - torch.eye(8)).abs().max() < 0.08  # images are independent
    assert abs(float((noise[:, :, 1:] * noise[:, :, :-1]).mean())) < 0.02 * deviation**2  # so are neighbours
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 0.02 * deviation**2  # and channels


@pytest.mark.parametrize("severity", range(1, 6))
def test_speckle_noise_is_in_proportion(severity):
    for level in (40, 80, 120):
        noise = residuals("speckle_noise", severity, level=level)
        deviation = level * constants("speckle_noise", severity, 32)[0]
        assert float(noise.mean()) == pytest.approx(0, abs=0.15)
        assert float(noise.var()) == pytest.approx(deviation**2 + 1 / 12, rel=0.03)


@pytest.mark.parametrize(("severity", "side"), [(1, 32), (3, 32), (5, 32), (5, 64), (3, 224)])
def test_shot_noise_counts_photons(severity, side):
    (photons,) = constants("shot_noise", severity, side)
    counts = (residuals("shot_noise", severity, side)[: 40 if side < 224 else 4] + LEVEL) / 255 * photons
    clear = np.ceil(
        counts.numpy() - 1.0 * photons / 255
    )  # undoes the rounding down while photons are fewer than levels
    mean = LEVEL / 255 * photons
    if photons < 100:
        assert clear.mean() == pytest.approx(mean, rel=0.02)
        assert clear.var() == pytest.approx(mean, rel=0.1)
    assert float(counts.mean()) == pytest.approx(mean, rel=0.02)
    assert float(counts.var()) == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("severity", range(1, 6))
def test_impulse_noise_replaces_a_share_by_black_and_white(severity):
    share = constants("impulse_noise", severity, 32)[0]
    images = torch.full((80, 3, 32, 32), LEVEL, dtype=torch.uint8)
    noisy = corrupt(images, "impulse_noise", severity, seed=1)
    for level in (0, 255):
        assert float((noisy == level).double().mean()) == pytest.approx(share / 2, rel=0.1)
    changed = noisy != LEVEL
    assert torch.equal(changed, (noisy == 0) | (noisy == 255))
    both = float((changed[:, 0] & changed[:, 1]).double().mean())
    assert both == pytest.approx(share**2, rel=0.5, abs=3e-4)  # channels are independent


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


def photo_of(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 1), (224, 3)])
def test_jpeg_and_pixelate_are_those_of_pillow(severity, side, channels):
    images = scenes(2, channels, side)
    (quality,) = constants("jpeg_compression", severity, side)
    (share,) = constants("pixelate", severity, side)
    stored = corrupt(images, "jpeg_compression", severity, seed=0)
    coarse = corrupt(images, "pixelate", severity, seed=0)
    for image, jpeg, pixels in zip(images, stored, coarse, strict=True):
        photo, file = photo_of(image), io.BytesIO()
        photo.save(file, "JPEG", quality=int(quality))
        assert np.array_equal(np.asarray(Image.open(file)), np.asarray(photo_of(jpeg)))
        small = photo.resize((int(side * share),) * 2, Image.Resampling.BOX)
        assert np.array_equal(
            np.asarray(small.resize((side, side), Image.Resampling.BOX)), np.asarray(photo_of(pixels))
        )


def test_pixelate_by_a_quarter_averages_blocks():
    images = scenes(1, 3, 224)
    coarse = corrupt(images, "pixelate", 5, seed=0).double()
    blocks = torch.nn.functional.avg_pool2d(images.double(), 4)
    assert (coarse[:, :, ::4, ::4] - blocks).abs().max() <= 1
    assert torch.equal(coarse, coarse[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(-60, 60))
def test_mirrors_agree_with_numpy(length, place):
    line = np.arange(length)
    reach = 60
    for fold, mode in ((mirror_about_pixel, "reflect"), (mirror_about_border, "symmetric")):
        assert fold(np.array([place]), length)[0] == np.pad(line, reach, mode=mode)[reach + place]


@pytest.mark.parametrize(("fold", "mode"), [(mirror_about_pixel, "mirror"), (mirror_about_border, "reflect")])
def test_sampling_equals_scipy(fold, mode):
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 3, 11, 14)).astype(np.float32)
    rows, columns = random.uniform(-15, 25, (2, 2, 11, 14))
    sampled = sample(images, rows, columns, fold)
    for image, down, right, met in zip(images, rows, columns, sampled, strict=True):
        for channel, values in zip(image, met, strict=True):
            wanted = ndimage.map_coordinates(channel.astype(float), [down, right], order=1, mode=mode)
            assert np.allclose(values, wanted, atol=1e-5)


def test_affine_map_takes_the_moved_corners_back():
    moves = np.array([[[3, -2], [1, 4], [-2, -1]], [[0, 0], [0, 0], [0, 0]]], dtype=float)
    rows, columns = affine(moves, 30, 36)
    for (right, down), (over, under) in zip([(28, 25), (28, 5), (8, 5)], moves[0].astype(int), strict=True):
        assert rows[0, down + under, right + over] == pytest.approx(down)
        assert columns[0, down + under, right + over] == pytest.approx(right)
    assert np.allclose(rows[1], np.arange(30)[:, None])
    assert np.allclose(columns[1], np.arange(36))
    assert np.allclose(np.diff(rows[0], 2, axis=0), 0)  # affine: no second differences
    assert np.allclose(np.diff(columns[0], 2, axis=1), 0)


@pytest.mark.parametrize("sigma", [0.3, 6.4, 171.0])
def test_smoothing_matrix_is_scipys_filter(sigma):
    noise = np.random.default_rng(0).uniform(-1, 1, (32, 40))
    wanted = ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3)
    assert np.allclose(smoothing(32, sigma) @ noise @ smoothing(40, sigma).T, wanted, atol=1e-12)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_elastic_transform_equals_scipy_step_by_step(severity, side, channels):
    images = scenes(1, channels, side)
    strength, smoothness, corner = constants("elastic_transform", severity, side)
    generator = next(iter(Draws((0,), seed=3, name="elastic_transform", severity=severity)))
    moves = corner * (2 * generator.random((3, 2)) - 1)
    third = side // 3
    before = np.array([[1, 1], [1, -1], [-1, -1]]) * third + side // 2
    # From a pixel's column and row back to its source's, by least squares through the three corners.
    back = np.linalg.solve(np.column_stack([before + moves, np.ones(3)]), before)
    down, right = np.mgrid[:side, :side].astype(float)
    columns, rows = np.moveaxis(np.stack([right, down, np.ones_like(down)], -1) @ back, -1, 0)
    levels = [
        ndimage.map_coordinates(channel.double().numpy(), [rows, columns], order=1, mode="mirror")
        for channel in images[0]
    ]
    if strength:
        noise = 2 * generator.random((2, side, side), dtype=np.float32).astype(float) - 1
        field = ndimage.gaussian_filter(noise, (0, smoothness, smoothness), mode="reflect", truncate=3) * strength
        places = [down + field[0], right + field[1]]
        levels = [ndimage.map_coordinates(level, places, order=1, mode="reflect") for level in levels]
    difference = corrupt(images, "elastic_transform", severity, seed=3)[0].numpy().astype(int) - slow.truncated(
        np.stack(levels)
    )
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.002
