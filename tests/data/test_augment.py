"""Random crops and flips against an obvious loop."""

import pytest
import torch
from torch.nn import functional

from tide.data import augment, to_float
from tide.data.augment import apply_crop_flip, draw


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(99))


def one_by_one(images, top, left, mirrored, pad):
    height, width = images.shape[2:]
    crops = []
    for image, row, column, mirror in zip(images, top.tolist(), left.tolist(), mirrored.tolist(), strict=True):
        crop = functional.pad(image, (pad, pad, pad, pad))[:, row : row + height, column : column + width]
        crops.append(crop.flip(2) if mirror else crop)
    return torch.stack(crops)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (40, 1, 28, 28), (40, 3, 5, 9)])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_equals_the_obvious_loop(shape, pad, flip):
    images = pixels(*shape)
    drawn = draw(len(images), pad=pad, flip=flip, generator=generator())
    wanted = one_by_one(images, *drawn, pad)
    assert torch.equal(apply_crop_flip(images, *drawn, pad=pad), wanted)
    assert torch.equal(augment(images, pad=pad, flip=flip, generator=generator()), wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_generator_on_the_cpu_gives_the_same_crops_on_every_device():
    images = pixels(40, 3, 5, 9)
    wanted = augment(images, pad=2, flip=True, generator=generator())
    assert torch.equal(augment(images.cuda(), pad=2, flip=True, generator=generator()).cpu(), wanted)


def test_draws_cover_their_range_evenly():
    top, left, mirrored = draw(9000, pad=1, flip=True, generator=generator())
    for drawn, values in ((top, 3), (left, 3), (mirrored.long(), 2)):
        assert drawn.bincount().float() / 9000 == pytest.approx([1 / values] * values, abs=0.02)
    assert not torch.equal(top, left)


def test_the_generator_alone_decides():
    images = pixels(16, 3, 8, 8)
    before = torch.get_rng_state()
    first = augment(images, pad=2, flip=True, generator=generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, augment(images, pad=2, flip=True, generator=generator(1)))
    assert not torch.equal(first, augment(images, pad=2, flip=True, generator=generator(2)))


def test_nothing_to_do_costs_nothing():
    images = pixels(4, 1, 6, 6)
    assert augment(images, pad=0, flip=False, generator=generator()) is images


def test_refuses_what_it_cannot_crop(refuses):
    with refuses("pad is -1", "at least 0"):
        augment(pixels(4, 1, 6, 6), pad=-1, flip=True, generator=generator())
    with refuses("float32", "uint8"):
        augment(pixels(4, 1, 6, 6).float(), pad=1, flip=True, generator=generator())


def test_to_float_spans_zero_to_one():
    values = to_float(torch.arange(256, dtype=torch.uint8))
    assert values.dtype == torch.float32
    assert torch.equal(values, torch.arange(256) / 255)
