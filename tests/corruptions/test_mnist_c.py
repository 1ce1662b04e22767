"""The corruptions of MNIST-C: the image out of place, stripes, lines across it and its edges, as they are defined."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.corruptions import slow
from tests.corruptions.conftest import scenes
from tide.corruptions import MNIST_C, SEVERITIES, corrupt
from tide.corruptions.draws import Draws
from tide.corruptions.mnist_c import outlines, rotate, scale, shear, stroke, teeth
from tide.corruptions.tables import constants


def draws(count: int, name: str, severity: int = 1) -> Draws:
    return Draws(range(count), seed=0, name=name, severity=severity)


@pytest.mark.parametrize(("change", "nothing"), [(shear, 0.0), (rotate, 0.0), (scale, 1.0)])
def test_a_map_without_strength_is_the_identity(change, nothing):
    for height, width in ((28, 28), (31, 24)):
        images = scenes(4, 3, height, width).numpy()
        assert np.array_equal(change(images, (nothing,), draws(4, "any")), images)


def test_a_quarter_turn_to_either_side_is_that_of_numpy():
    images = scenes(12, 1, 28).numpy()
    turned = rotate(images, (np.pi / 2,), draws(12, "rotate"))
    ways = {
        next(turn for turn in (1, 3) if np.allclose(np.rot90(before[0], turn), after[0], atol=1e-3))
        for before, after in zip(images, turned, strict=True)
    }
    assert ways == {1, 3}


@pytest.mark.parametrize("name", ["shear", "rotate", "scale"])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_maps_equal_the_slow_version(name, severity):
    images = scenes(12, 3, 20, 26)
    met = corrupt(images, name, severity, seed=0).numpy().astype(int)
    (number,) = constants(name, severity, 20)
    found = []
    for image, changed in zip(images.numpy(), met, strict=True):
        both = []
        for sign in (-1, 1):
            angle = sign * number
            matrix = {
                "shear": [[np.cos(angle), 0], [-np.sin(angle), 1]],
                "rotate": [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]],
                "scale": [[1 / number, 0], [0, 1 / number]],
            }[name]
            wanted = slow.truncated(slow.mapped(image, np.array(matrix)))
            both.append(bool(np.abs(wanted.astype(int) - changed).max() <= 1))
        found.append(tuple(both))
    if name == "scale":
        assert set(found) == {(True, True)}
    else:
        assert set(found) == {(True, False), (False, True)}  # to one side or the other, and both occur


@pytest.mark.parametrize("side", [16, 28, 32, 64])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_translate_moves_by_whole_pixels_along_both_axes(side, severity):
    images = scenes(24, 3, side, side + 4)
    moved = corrupt(images, "translate", severity, seed=0)
    step = int(side * severity / 28 + 0.5)
    found = set()
    for image, changed in zip(images, moved, strict=True):
        for down, right in itertools.product((-step, step), repeat=2):
            wanted = torch.zeros_like(image)
            wanted[:, max(down, 0) : side + down, max(right, 0) : side + 4 + right] = image[
                :, max(-down, 0) : side - down, max(-right, 0) : side + 4 - right
            ]
            if torch.equal(wanted, changed):
                found.add((down, right))
                break
        else:
            pytest.fail("moved by something else")
    assert len(found) == 4


def test_stripe_is_a_negative_of_both_sides_and_leaves_the_published_middle_half():
    for side, severity, width in ((28, 3, 7), (28, 1, 3), (28, 5, 11), (224, 3, 56), (32, 3, 8), (8, 1, 1)):
        images = scenes(2, 3, side)
        striped = corrupt(images, "stripe", severity, seed=0)
        assert torch.equal(striped[..., width : side - width], images[..., width : side - width])
        for part in (slice(None, width), slice(side - width, None)):
            assert torch.equal(striped[..., part], 255 - images[..., part])


def test_stroke_fades_with_the_logarithm_of_the_distance():
    light = stroke(np.array([3.0, 3.5]), 9, 2.3)
    for row, column in itertools.product(range(9), range(2)):
        distance = abs(row - (3.0, 3.5)[column])
        wanted = max(0.0, 1 + np.log(1 - distance / 2.3)) if distance < 2.3 else 0.0
        assert light[row, column] == pytest.approx(255 * wanted, abs=1e-3)


def test_teeth_have_their_corners_beside_a_straight_line():
    columns = np.arange(0, 23, 0.25)
    heights = teeth(columns, 23, 0.0, 2.0)
    wave = 2 * np.abs((columns + 2) % 8 / 2 - 2) - 2  # a triangle of height 2 and period 8
    assert np.allclose(np.abs(heights), np.abs(wave))
    assert (heights[1:8] > 0).all()
    angle = np.arctan2(5, 23)
    leaning = teeth(columns, 23, 5.0, 2.0)
    away = np.cos(angle) * leaning - np.sin(angle) * columns  # distance from the middle line
    assert np.abs(away).max() == pytest.approx(2, abs=0.15)
    assert ((away[2:] > 0) != (away[1:-1] > 0)).sum() == 5  # corners at 2, 6, 10, 14, 18 and 22


@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_lines_only_lighten_and_keep_to_their_columns(name):
    images = scenes(16, 3, 28)
    lined, dark = corrupt(images, name, 5, seed=0), corrupt(torch.zeros_like(images), name, 5, seed=0)
    assert (lined >= images).all()
    assert (lined.int() - (images.int() + dark).clamp(max=255)).abs().max() <= 1
    assert torch.equal(dark[:, :1].expand(-1, 3, -1, -1), dark)  # white on a colour image
    lit = dark.amax((0, 1, 2)) > 0
    at = torch.arange(28)
    wanted = (at // 2 % 2 == 1) & (at < 27) if name == "dotted_line" else (at >= 2) & (at < 25)
    assert torch.equal(lit, wanted)
    areas = [int((corrupt(torch.zeros_like(images), name, s, seed=0) > 0).sum()) for s in SEVERITIES]
    assert areas == sorted(areas)


@pytest.mark.parametrize("name", ["shear", "rotate", "translate", "dotted_line", "zigzag"])
def test_two_seeds_differ(name):
    images = scenes(12, 1, 28)
    assert not torch.equal(corrupt(images, name, 3, seed=0), corrupt(images, name, 3, seed=1))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_severity_changes_more(channels):
    images = scenes(64, channels, 28)
    for name in MNIST_C:
        changes = [
            float((corrupt(images, name, severity, seed=0).double() - images.double()).abs().mean())
            for severity in SEVERITIES
        ]
        assert all(before < after for before, after in itertools.pairwise(changes)), (name, changes)


def test_edges_of_a_disk_are_a_closed_thin_ring():
    down, right = np.mgrid[-16:16, -16:16] + 0.5
    disk = (np.hypot(down, right) < 9).astype(np.float32)
    images = np.stack([disk, np.zeros_like(disk), 0.02 * disk])
    edges = outlines(images, 1.0, 0.1, 0.2)
    assert not edges[1:].any()  # nothing, and too faint
    assert (np.abs(np.hypot(down, right)[edges[0]] - 9) < 1.3).all()
    assert ndimage.label(edges[0], np.ones((3, 3)))[1] == 1
    inside = ndimage.label(~edges[0])[0]
    assert inside[16, 16] != inside[0, 0]  # closed
    assert np.array_equal(outlines(images[:1], 1.0, 0.1, 0.2)[0], edges[0])  # images do not see one another


def test_a_weak_edge_goes_on_only_from_a_strong_one():
    image = np.zeros((40, 24), np.float32)
    image[:, 12:] = np.linspace(0.3, 0.04, 40)[:, None]
    edges = outlines(image[None], 1.0, 0.1, 0.5)[0]
    assert edges.any(1).sum() > 25
    assert not outlines(image[None, 20:], 1.0, 0.1, 0.5).any()


def test_edges_are_those_of_scikit_image(real_images):
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed: pip install corrupt-tta")
    images = real_images(28)[:, 0].numpy()
    wanted = np.stack([feature.canny(image / 255.0) for image in images])
    assert np.array_equal(outlines(images.astype(np.float32) / 255, *constants("canny_edges", 5, 28)[:3]), wanted)
    met = corrupt(torch.from_numpy(images)[:, None], "canny_edges", 5, seed=0)[:, 0].numpy()
    assert np.array_equal(met, 255 * wanted)
