"""Spatter: edges, equalised histograms, and what water and mud do to an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.corruptions.weather import MUD, WATER, canny, shade, spread


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
