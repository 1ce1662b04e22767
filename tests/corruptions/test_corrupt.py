"""Corrupting as a whole: any batch, any size, every severity; the published numbers; one line for bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.corruptions.conftest import scenes
from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C, SEVERITIES, corrupt, smallest
from tide.corruptions.draws import Draws
from tide.corruptions.tables import _MNIST, MEANINGS, TABLES, constants
from tide.errors import DataError
from tide.plots.robustness import draw_corruptions

ALL = (*CORRUPTIONS, *EXTRA)
EVERY = (*ALL, *MNIST_C)
FIXED = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur"} | {
    "saturate"
}


@pytest.mark.parametrize("name", EVERY)
def test_the_bytes_do_not_depend_on_batches_order_or_threads(name, monkeypatch):
    images = scenes(23, 3, 32)
    whole = corrupt(images, name, 3, seed=7, first=100)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    assert torch.equal(corrupt(images[order], name, 3, seed=7, indices=100 + order), whole[order])
    for size in (1, 5):
        parts = [corrupt(images[i : i + size], name, 3, seed=7, first=100 + i) for i in range(0, 23, size)]
        assert torch.equal(torch.cat(parts), whole)
    monkeypatch.setattr("tide.corruptions.batch._PIECE", 4 * 3 * 32 * 32)
    torch.set_num_threads(3)
    try:
        assert torch.equal(corrupt(images, name, 3, seed=7, first=100), whole)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["gaussian_noise", "defocus_blur", "frost", "elastic_transform"])
def test_the_bytes_of_photos_do_not_depend_on_the_batch(name):
    images = scenes(3, 3, 224)
    whole = corrupt(images, name, 4, seed=7)
    for i in range(3):
        assert torch.equal(corrupt(images[i : i + 1], name, 4, seed=7, first=i), whole[i : i + 1])


@pytest.mark.parametrize("name", ALL)
def test_seed_and_place_in_the_data_set_decide(name):
    image = scenes(1, 3, 32)
    first, other, later, twins = (
        corrupt(image, name, 5, seed=0),
        corrupt(image, name, 5, seed=1),
        corrupt(image, name, 5, seed=0, first=1),
        corrupt(image.expand(2, -1, -1, -1), name, 5, seed=0),
    )
    assert torch.equal(first, other) == torch.equal(first, later) == (name in FIXED)
    assert torch.equal(twins, torch.cat([first, later]))


def test_streams_are_those_of_the_first_release():
    (first, again) = (
        [generator.bit_generator.random_raw() for generator in Draws((0, 7, 0), seed=1, name="snow", severity=3)]
        for _ in range(2)
    )
    assert first == again
    assert first[0] == first[2] != first[1]
    assert first[:2] == [9551791460920583654, 6637529490504884517]
    starts = {
        next(iter(Draws((index,), seed=seed, name=name, severity=severity))).bit_generator.random_raw()
        for index, seed, name, severity in itertools.product((0, 1, -1), (0, 1, 10), ("snow", "fog"), (1, 2))
    }
    assert len(starts) == 36


@pytest.mark.parametrize("name", EVERY)
def test_form_for_every_severity_channel_and_size(name):
    for channels, (height, width) in itertools.product((1, 3), ((28, 28), (32, 32), (64, 64), (24, 40))):
        images = scenes(2, channels, height, width)
        before = images.clone()
        for severity in SEVERITIES:
            corrupted = corrupt(images, name, severity, seed=0)
            assert corrupted.shape == images.shape
            assert corrupted.dtype == torch.uint8
            assert torch.equal(images, before)
            assert corrupted.data_ptr() != images.data_ptr()
            if not (channels == 1 and name == "saturate"):
                assert not torch.equal(corrupted, images)


@pytest.mark.parametrize("name", ALL)
def test_photos_keep_their_form_and_stay_photos(name):
    for channels in (1, 3):
        images = scenes(1, channels, 224)
        corrupted = corrupt(images, name, 5 - channels, seed=0)
        assert corrupted.shape == images.shape
        likeness = torch.corrcoef(torch.stack([images.flatten().double(), corrupted.flatten().double()]))[0, 1]
        assert likeness > 0.15


@pytest.mark.parametrize("side", [8, 16, 45, 46, 119, 120, 256])
def test_sizes_between_and_beyond_the_tables(side):
    images = scenes(1, 3, side, side + 1)
    for name in EVERY:
        if side < smallest(name):
            with pytest.raises(DataError, match=f"^size must be at least 16 for {name}, got 8; enlarge the images$"):
                corrupt(images, name, 5, seed=0)
            continue
        corrupted = corrupt(images, name, 5, seed=0)
        assert corrupted.shape == images.shape
        assert side < 16 or not torch.equal(corrupted, images), name  # at 8 pixels the slightest blurs are none


def test_one_gray_image_is_corrupted_as_in_a_batch():
    images = scenes(5, 1, 28)
    for name in ALL:
        whole = corrupt(images, name, 5, seed=0)
        for i in range(5):
            assert torch.equal(corrupt(images[i : i + 1], name, 5, seed=0, first=i), whole[i : i + 1]), name


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_images_do_no_harm(name, level):
    for channels in (1, 3):
        corrupted = corrupt(torch.full((2, channels, 32, 32), level, dtype=torch.uint8), name, 1, seed=0)
        assert corrupted.shape == (2, channels, 32, 32)
        if name in FIXED - {"brightness", "saturate"} or (name, level) in {("fog", 0), ("shot_noise", 0)}:
            assert (corrupted == level).all()


# Speckle and the like draw each channel by itself, JPEG stores colour coarsely, and these have a colour of their own.
OF_COLOUR = {"jpeg_compression", "frost", "spatter", "saturate"}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in OF_COLOUR and "noise" not in name])
def test_a_gray_image_is_corrupted_as_one_of_three_equal_channels(name):
    grey = scenes(2, 1, 32)
    colour = corrupt(grey.expand(-1, 3, -1, -1), name, 4, seed=0)
    assert (colour.int() - corrupt(grey, name, 4, seed=0).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"name": "gausian_noise"}, ("'gausian_noise'", "did you mean 'gaussian_noise'")),
        ({"name": "rain"}, ("unknown corruption 'rain'", "known: ")),
        ({"severity": 0}, ("severity must be 1 (slight) to 5 (heavy), got 0",)),
        ({"severity": 6}, ("severity must be 1 (slight) to 5 (heavy), got 6",)),
        ({"severity": True}, ("got True",)),
        ({"severity": 3.0}, ("got 3.0",)),
        ({"images": torch.zeros(2, 3, 32, 32)}, ("float32", "uint8")),
        ({"images": torch.zeros(3, 32, 32, dtype=torch.uint8)}, ("(3, 32, 32)", "(N, C, H, W)")),
        ({"images": torch.zeros(0, 3, 32, 32, dtype=torch.uint8)}, ("(0, 3, 32, 32)", "at least one")),
        ({"images": torch.zeros(2, 4, 32, 32, dtype=torch.uint8)}, ("1 (grey) or 3 (RGB) channels, got 4",)),
        ({"images": torch.zeros(2, 3, 32, 7, dtype=torch.uint8)}, ("at least 8 x 8 pixels, got 32 x 7",)),
        ({"indices": torch.arange(3)}, ("(3,)", "(2,)")),
        ({"indices": torch.zeros(2)}, ("float32", "integers")),
        ({"indices": torch.arange(2), "first": 4}, ("first must be left out where indices are given, got 4",)),
    ],
)
def test_refuses_what_it_cannot_corrupt(change, parts):
    given = {"images": scenes(2, 3, 32), "name": "fog", "severity": 3, "seed": 0} | change
    with pytest.raises(DataError) as caught:
        corrupt(given.pop("images"), given.pop("name"), given.pop("severity"), **given)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_images_come_back_to_their_device():
    images = scenes(2, 3, 32)
    assert torch.equal(corrupt(images.cuda(), "snow", 2, seed=0).cpu(), corrupt(images, "snow", 2, seed=0))


# The numbers of these do not grow in one direction from severity to severity; a classifier need not mind the pixels.
EXCEPTIONS = {
    "glass_blur": "more blur hides the moved pixels, and severity trades blur for moves",
    "frost": "the image is dimmed more than the frost brightens it",
    "elastic_transform": "from moving the whole image far to tearing it finely",
    "spatter": "water at severities 1 to 3, mud at 4 and 5",
    "saturate": "colour is taken away at 1 and 2 and added at 3 to 5; grey images stay as they are",
}
FEW = {"fog", "snow", "dotted_line", "zigzag"}  # four photos are too few where each has a sky or lines of its own
EQUAL = 0.95  # some neighbouring severities hardly differ: motion blur of deviation 2 over radius 6 and 8


@pytest.mark.parametrize("size", [28, 32, 64, 224])
@pytest.mark.parametrize("name", [name for name in EVERY if name not in EXCEPTIONS])
def test_severity_moves_images_further(name, size, real_images):
    images = real_images(size)
    if size == 224 and name in FEW:
        images = images.repeat(6, 1, 1, 1)
    differences = [
        float((corrupt(images, name, severity, seed=0).double() - images.double()).square().mean())
        for severity in SEVERITIES
    ]
    for before, after in itertools.pairwise(differences):
        assert after > EQUAL * before, differences
    assert differences[4] > 1.15 * differences[0]


def test_exceptions_are_exceptions(real_images):
    images = torch.cat([real_images(32)] * 2)
    for name in EXCEPTIONS:
        differences = [
            float((corrupt(images, name, severity, seed=0).double() - images.double()).square().mean())
            for severity in SEVERITIES
        ]
        assert any(after < before for before, after in itertools.pairwise(differences)), name


@pytest.mark.parametrize("side", [32, 64, 224])
def test_published_sizes_have_the_published_numbers(side):
    assert set(TABLES[side]) == set(MEANINGS) - set(MNIST_C) == set(ALL)
    for name, rows in TABLES[side].items():
        assert len(rows) == 5
        for severity in SEVERITIES:
            assert constants(name, severity, side) == rows[severity - 1]
            assert len(rows[severity - 1]) == len(MEANINGS[name])


@pytest.mark.parametrize(
    ("side", "table"), [(8, 32), (28, 32), (45, 32), (46, 64), (96, 64), (119, 64), (120, 224), (192, 224), (500, 224)]
)
def test_other_sizes_scale_the_lengths_of_the_nearest_table(side, table):
    for name, meanings in MEANINGS.items():
        size, rows = (28, _MNIST) if name in MNIST_C else (table, TABLES[table])
        for severity in SEVERITIES:
            for met, published, meaning in zip(
                constants(name, severity, side), rows[name][severity - 1], meanings, strict=True
            ):
                assert met == pytest.approx(published * (side / size if meaning.endswith("*") else 1))


def test_a_row_for_each_corruption_and_a_column_for_each_severity(tmp_path):
    images = scenes(2, 3, 32)
    figure = draw_corruptions(images, names=("snow", "contrast"), seed=4, indices=torch.tensor([7, 3]))
    assert len(figure.axes) == 2 * 6
    shown = np.asarray(figure.axes[5].images[0].get_array())
    wanted = torch.cat(list(corrupt(images, "snow", 5, seed=4, indices=torch.tensor([7, 3]))), dim=2)
    assert np.allclose(shown * 255, wanted.permute(1, 2, 0).numpy())
    figure.savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_gray_images_are_shown_gray():
    figure = draw_corruptions(scenes(1, 1, 28), names=("fog",))
    assert np.asarray(figure.axes[1].images[0].get_array()).shape == (28, 28)
