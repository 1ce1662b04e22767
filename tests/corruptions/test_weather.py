"""Snow, fog, frost and spatter: what falls before the image is what its definition gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.corruptions import slow
from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.corruptions.blur import lines
from tide.corruptions.draws import Draws
from tide.corruptions.tables import constants
from tide.corruptions.weather import HEIGHT, MUD, SHEETS, WATER, WIDTH, canny, frost_sheet, relief, shade, spread


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_snow_equals_the_slow_version(severity, side, channels):
    images = scenes(1, channels, side)
    mean, deviation, size, threshold, radius, sigma, share = constants("snow", severity, side)
    size = max(1.0, size)
    generator = next(iter(Draws((0,), seed=3, name="snow", severity=severity)))
    top, kept, *_ = lines(side, size)
    layer = np.zeros((side, side))
    drawn = generator.standard_normal((kept, kept), dtype=np.float32)
    layer[top : top + kept, top : top + kept] = mean + deviation * drawn.astype(float)
    layer = slow.clipped_zoom(layer, size)
    layer[layer < threshold] = 0
    flakes = slow.truncated(255 * layer)
    fallen = np.floor(slow.smear(flakes[None], radius, sigma, 90 * generator.random() - 135) + 0.5 + 1 / 512)
    levels = images[0].double().numpy()
    grey = levels if channels == 1 else np.tensordot([[0.299, 0.587, 0.114]], levels, 1)
    wanted = share * levels + (1 - share) * np.maximum(levels, 1.5 * grey + 127.5) + fallen + fallen[:, ::-1, ::-1]
    difference = np.abs(
        corrupt(images, "snow", severity, seed=3)[0].numpy().astype(int) - slow.truncated(wanted).astype(int)
    )
    # A flake in a thousand may fall on the other side of the threshold in single precision.
    assert (difference > 1).mean() < 0.002


def test_relief_equals_diamond_square_place_by_place():
    for side, decay in ((8, 3.0), (32, 1.75)):
        uniform = np.random.default_rng(0).random((2, side * side), dtype=np.float32)
        for fast, numbers in zip(relief(uniform, side, decay), uniform.astype(float), strict=True):
            assert np.allclose(fast, slow.relief(numbers, side, decay), atol=1e-4)
            assert fast.min() == 0
            assert fast.max() == 1


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [28, 32])
def test_fog_adds_relief_and_scales_the_brightest_value_back(severity, side):
    images = scenes(1, 3, side)
    thickness, decay = constants("fog", severity, side)
    generator = next(iter(Draws((0,), seed=3, name="fog", severity=severity)))
    heights = slow.relief(generator.random(32 * 32, dtype=np.float32).astype(float), 32, decay)[:side, :side]
    levels = images[0].double().numpy() / 255
    wanted = (levels + thickness * heights) * levels.max() / (levels.max() + thickness) * 255
    difference = corrupt(images, "fog", severity, seed=3)[0].numpy().astype(int) - slow.truncated(wanted).astype(int)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.02


def test_sheets_have_the_colours_of_the_photographs():
    assert len(SHEETS) == 5
    for number, sheet in enumerate(SHEETS):
        drawn = frost_sheet(number)
        assert drawn.shape == (HEIGHT, WIDTH, 3)
        assert drawn.dtype == np.uint8
        assert np.abs(drawn.mean((0, 1)) - sheet.mean).max() < 2
        assert np.abs(drawn.std((0, 1)) - sheet.deviation).max() < 3
        assert drawn is frost_sheet(number)


def test_sheets_have_detail_of_every_size():
    """As in the photographs, no range of sizes, a factor of two wide, holds nearly nothing or nearly all."""
    for number in range(len(SHEETS)):
        grey = frost_sheet(number).mean(-1)
        layers = [ndimage.gaussian_filter(grey, sigma, mode="wrap") for sigma in (0, 1, 2, 4, 8, 16)]
        shares = [(fine - coarse).var() / grey.var() for fine, coarse in itertools.pairwise(layers)]
        assert all(0.01 < share < 0.6 for share in shares), shares


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_frost_adds_a_piece_of_a_sheet(side):
    black = torch.zeros((12, 3, side, side), dtype=torch.uint8)
    weight, share, _ = constants("frost", 3, side)
    pieces = corrupt(black, "frost", 3, seed=0).double().add(0.5).div(share)
    means = torch.tensor([sheet.mean for sheet in SHEETS], dtype=torch.float64)
    distances = (pieces.mean((2, 3))[:, None] - means).norm(dim=2)
    assert (distances.min(1).values < 60).all()
    assert len(distances.argmin(1).unique()) > 2
    images = scenes(12, 3, side)
    wanted = weight * images.double() + share * pieces
    difference = corrupt(images, "frost", 3, seed=0).double() - wanted.clamp(0, 255).floor()
    assert difference.abs().max() <= 1


def test_frost_of_full_size_is_cut_from_a_sheet_as_it_is():
    black = torch.zeros((1, 3, 224, 224), dtype=torch.uint8)
    for seed in range(3):
        which, top, left = next(iter(Draws((0,), seed=seed, name="frost", severity=1))).random(3)
        top, left = int(top * (HEIGHT - 223)), int(left * (WIDTH - 223))
        sheet = frost_sheet(int(5 * which))[top : top + 224, left : left + 224]
        frosted = corrupt(black, "frost", 1, seed=seed)[0].permute(1, 2, 0)
        assert np.array_equal(frosted.numpy(), slow.truncated(0.4 * sheet.astype(float)))


def test_a_square_has_its_rim_as_edge():
    image = np.zeros((20, 20), np.uint8)
    image[6:14, 6:14] = 200
    edges = canny(image, 50, 150)
    rows = np.nonzero(edges)[0]
    assert set(rows) <= set(range(5, 15))
    assert edges[6:14].any(1).all()
    assert not edges[8:12, 8:12].any()
    assert not canny(np.full((9, 9), 90, np.uint8), 50, 150).any()


def test_weak_edges_count_only_with_strong_ones():
    image = np.zeros((30, 30), np.uint8)
    image[:, 20:] = np.linspace(15, 60, 30).astype(np.uint8)[:, None]  # strength 60 at the top, 240 at the bottom
    assert canny(image, 50, 150).any(1).sum() >= 28
    assert not canny(image[:13], 50, 150).any()
    assert canny(image[:13], 50, 75).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_spreading_evens_the_shares(seed, values):
    image = (np.random.default_rng(seed).random((16, 16)) ** 2 * values).astype(np.uint8)
    even = spread(image)
    if len(np.unique(image)) == 1:
        assert np.array_equal(even, image)
        return
    assert even.min() == 0
    assert even.max() == 255
    above = (image > image.min()).sum()
    for value in np.unique(image)[1:]:
        place = even[image == value]
        assert (place == place[0]).all()
        share = ((image <= value) & (image > image.min())).sum() / above
        assert abs(place[0] - 255 * share) <= 0.5 + 1e-6


def test_water_is_brightest_within_drops_and_absent_outside():
    drops = np.zeros((32, 32), np.uint8)
    drops[8:20, 10:24] = 190
    film = shade(drops)
    assert film.max() == 1
    assert (film[drops == 0] == 0).all()
    assert film[drops > 0].std() > 0.05
    assert (shade(np.zeros((9, 9), np.uint8)) == 0).all()


@pytest.mark.parametrize("severity", [1, 2, 3])
@pytest.mark.parametrize("side", [32, 224])
def test_water_only_lightens_in_its_colour(severity, side):
    images = torch.zeros((4, 3, side, side), dtype=torch.uint8)
    wet = corrupt(images, "spatter", severity, seed=0).double()
    share = wet / torch.tensor(WATER, dtype=torch.float64)[:, None, None]
    assert (share[:, 0] - share[:, 1]).abs().max() < 0.01
    assert 0.001 < float((share[:, 0] > 0.05).double().mean()) < 0.3
    scene = scenes(4, 3, side)
    assert (corrupt(scene, "spatter", severity, seed=0) >= scene).all()


@pytest.mark.parametrize("severity", [4, 5])
@pytest.mark.parametrize("side", [32, 64, 224])
def test_mud_covers_in_its_colour(severity, side):
    white = torch.full((4, 3, side, side), 255, dtype=torch.uint8)
    muddy = corrupt(white, "spatter", severity, seed=0).double()
    changed = (muddy != 255).any(1)
    assert 0.005 < float(changed.double().mean()) < 0.4
    cover = (255 - muddy) / (255 - torch.tensor(MUD, dtype=torch.float64))[:, None, None]
    assert cover.amax((1, 2, 3)).max() == pytest.approx(1, abs=0.02)
    assert float(cover[:, 0][changed].min()) >= 0.79  # thin mud is left out


def test_gray_images_take_the_gray_of_water_and_mud():
    black, white = (torch.full((4, 1, 32, 32), level, dtype=torch.uint8) for level in (0, 255))
    assert corrupt(black, "spatter", 3, seed=0).max() == int(0.5 * (0.299 * 175 + 0.701 * 238))
    assert corrupt(white, "spatter", 5, seed=0).min() == pytest.approx(0.299 * 63 + 0.587 * 42 + 0.114 * 20, abs=1)
