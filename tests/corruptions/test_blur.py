"""Blurs against direct convolution in double precision, and their kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.corruptions import slow
from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.corruptions.blur import disk, enlarge, lines, origins, path, smear, smooth, taps
from tide.corruptions.tables import constants


def equal(corrupted, wanted, most: float = 0.0005) -> None:
    """All within one grey level, and nearly all the same: single precision may fall on the other side of a level."""
    difference = np.abs(np.asarray(corrupted).astype(int) - slow.truncated(wanted).astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= most


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_gaussian_blur_equals_direct_convolution(severity, side):
    images = scenes(1, 3, side)
    (sigma,) = constants("gaussian_blur", severity, side)
    wanted = ndimage.gaussian_filter(images.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    equal(corrupt(images, "gaussian_blur", severity, seed=0), wanted)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_defocus_blur_equals_direct_convolution(severity, side):
    images = scenes(1, 3 if side < 224 else 1, side, side + 6)
    kernel = disk(*constants("defocus_blur", severity, side))
    wanted = ndimage.correlate(images.double().numpy(), kernel[None, None], mode="mirror")
    equal(corrupt(images, "defocus_blur", severity, seed=0), wanted)


def test_kernels_sum_to_one():
    for side in (28, 32, 64, 96, 150, 224):
        for severity in range(1, 6):
            weights = taps(constants("gaussian_blur", severity, side)[0])
            assert 2 * weights.sum() - weights[0] == pytest.approx(1)
            kernel = disk(*constants("defocus_blur", severity, side))
            # As published, the two largest disks gain weight where they touch the border of their kernel.
            wanted = 1 if side < 120 or severity < 4 else {4: 1.0130, 5: 1.0108}[severity]
            assert kernel.sum() == pytest.approx(wanted, abs=2e-4)
            assert np.allclose(kernel, kernel.T)
            assert np.allclose(kernel, kernel[::-1, ::-1])
            for angle in (-45, -12.3, 0, 45):
                assert path(*constants("motion_blur", severity, side), angle)[2].sum() == pytest.approx(1, abs=1e-6)


def test_disks_without_soft_rim_are_counted_pixels():
    assert np.allclose(disk(1.5, 0.01), np.full((3, 3), 1 / 9))
    assert np.count_nonzero(disk(3, 0.01)) == 29
    assert disk(3, 0.01).max() == pytest.approx(1 / 29)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.6, 2.2), st.sampled_from([(3, 0.1), (4, 0.5), (6, 0.5), (1.5, 0.1)]))
def test_scaled_disks_keep_their_sum_and_scale_their_width(scale, published):
    def variance(kernel):
        places = np.arange(len(kernel)) - len(kernel) // 2
        return (kernel.sum(0) * places**2).sum()

    kernel = disk(*published, scale)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    # A pixel spread over a square of its enlarged size adds that square's own variance of scale**2 / 12, and one of
    # whole pixels that of the pixel.
    assert variance(kernel) == pytest.approx(scale**2 * variance(disk(*published)) + (scale**2 + 1) / 12, abs=0.2)


def test_smoothing_keeps_an_even_image():
    even = np.full((2, 1, 9, 9), 77, np.uint8)
    for sigma in (0.05, 0.4, 3.0):
        assert np.allclose(smooth(even, sigma), 77, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(12, 17), st.integers(12, 17), st.integers(0, 2**31))
def test_glass_takes_values_one_pixel_after_the_other(reach, rounds, height, width, seed):
    moves = np.random.default_rng(seed).integers(-reach, reach, (rounds, 2, height, width)).astype(np.int32)
    assert np.array_equal(origins(moves, reach), slow.glass(moves, reach))


def test_glass_without_blur_only_moves_values():
    images = scenes(2, 3, 32)
    moved = corrupt(images, "glass_blur", 1, seed=0)  # a blur of 0.05 pixels changes nothing
    for image, other in zip(images, moved, strict=True):
        colours, others = ({tuple(pixel) for pixel in part.flatten(1).T.tolist()} for part in (image, other))
        assert others <= colours
        assert (image != other).any()
    assert moved[:, :, :2].equal(images[:, :, :2])


@pytest.mark.parametrize("angle", [-45.0, -44.9, -13.0, 0.0, 30.0, -90.0, -135.0, 170.0])
def test_motion_equals_the_mean_along_a_line(angle):
    image = scenes(1, 3, 17, 19)[0].numpy()
    wanted = slow.smear(image, 5, 2.5, angle) + 0.5  # rounded to the nearest, as ImageMagick does
    equal(smear(image, 5, 2.5, angle), wanted)


def test_motion_takes_every_direction_within_45_degrees():
    dot = np.zeros((1, 41, 41), np.uint8)
    dot[0, 20, 20] = 255
    import torch

    many = corrupt(torch.from_numpy(dot).expand(300, -1, -1, -1), "motion_blur", 5, seed=0).double()
    down = (many.sum((1, 3)) * (torch.arange(41) - 20)).sum(1) / many.sum((1, 2, 3))
    right = (many.sum((1, 2)) * (torch.arange(41) - 20)).sum(1) / many.sum((1, 2, 3))
    angles = torch.rad2deg(torch.atan2(-down, -right))  # the trail lies opposite to where the copies come from
    assert angles.min() > -52
    assert angles.max() < 52
    assert float(angles.mean()) == pytest.approx(0, abs=5)
    assert float(angles.std()) == pytest.approx(90 / 12**0.5, rel=0.12)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [28, 32, 64])
def test_zoom_blur_is_the_mean_of_enlarged_images(severity, side):
    images = scenes(1, 3, side, side + 4)
    factors = np.arange(*constants("zoom_blur", severity, side))
    wanted = images.double().numpy()
    for factor in factors:
        wanted = wanted + np.stack([slow.clipped_zoom(channel, factor) for channel in images[0].double().numpy()])
    equal(corrupt(images, "zoom_blur", severity, seed=0), wanted / (len(factors) + 1))


@pytest.mark.parametrize("factor", [1.0, 1.25, 1.75, 2.5, 4.5])
@pytest.mark.parametrize("shape", [(32, 32), (28, 45)])
def test_enlarging_equals_scipy(factor, shape):
    whole = np.random.default_rng(0).normal(size=shape)
    (top, high, *_), (left, wide, *_) = (lines(length, factor) for length in shape)
    middle = whole[None, top : top + high, left : left + wide].astype(np.float32)
    assert np.allclose(enlarge(middle, *shape, factor)[0], slow.clipped_zoom(whole, factor), atol=1e-5)
