"""What the seed decides: the training order, crops and flips against an obvious loop, and what is held out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tide.data import ImageSet, PhotoSet, Splits, augment, batch_indices, derive_seed, hold_out, to_float
from tide.data.orders import apply_crop_flip, draw_crops, held_out_positions

counts = st.integers(1, 40)
seeds = st.integers(-(2**70), 2**70)


@settings(max_examples=60, deadline=None)
@given(count=counts, batch=st.integers(1, 100), epochs=st.integers(1, 4), seed=seeds)
def test_every_epoch_is_one_whole_permutation(count, batch, epochs, seed):
    steps = -(-count * epochs // batch)
    stream = torch.cat([batch_indices(count, batch, step, seed) for step in range(steps)])
    assert stream.dtype == torch.int64
    assert len(stream) == steps * batch
    for epoch in stream[: count * epochs].view(epochs, count):
        assert epoch.sort().values.tolist() == list(range(count))


@settings(max_examples=60, deadline=None)
@given(count=counts, step=st.integers(0, 10**9), seed=seeds, first=st.integers(1, 50), second=st.integers(1, 50))
def test_the_stream_does_not_depend_on_how_it_is_cut(count, step, seed, first, second):
    whole = batch_indices(count, first * second, step, seed)
    parts = [batch_indices(count, first, step * second + part, seed) for part in range(second)]
    assert torch.equal(whole, torch.cat(parts))


def test_epochs_and_seeds_give_different_orders():
    orders = [batch_indices(1000, 1000, step, seed).tolist() for step in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_a_batch_may_be_overwritten_without_harm():
    before = batch_indices(10, 5, 0, 7).tolist()
    batch_indices(10, 5, 0, 7).zero_()
    assert batch_indices(10, 5, 0, 7).tolist() == before


@pytest.mark.parametrize(
    ("count", "batch", "step", "name"),
    [(0, 1, 0, "count must be"), (1, 0, 0, "batch must be"), (1, 1, -1, "step must be at least 0, got -1")],
)
def test_refuses_impossible_numbers(count, batch, step, name, refuses):
    with refuses(name):
        batch_indices(count, batch, step, seed=0)


def test_derived_seeds_are_pinned():
    assert derive_seed() == 8238016292129134938
    assert derive_seed(0) == 4761921975702974394
    assert derive_seed(1, -2) == 3219486564060521669


@given(st.lists(seeds, max_size=4), st.lists(seeds, max_size=4))
def test_derived_seeds_are_63_bits_and_differ(left, right):
    assert 0 <= derive_seed(*left) < 2**63
    assert (derive_seed(*left) == derive_seed(*right)) == (left == right)


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
    drawn = draw_crops(len(images), pad=pad, flip=flip, generator=generator())
    expected = one_by_one(images, *drawn, pad)
    assert torch.equal(apply_crop_flip(images, *drawn, pad=pad), expected)
    assert torch.equal(augment(images, pad=pad, flip=flip, generator=generator()), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_generator_on_the_cpu_gives_the_same_crops_on_every_device():
    images = pixels(40, 3, 5, 9)
    expected = augment(images, pad=2, flip=True, generator=generator())
    assert torch.equal(augment(images.cuda(), pad=2, flip=True, generator=generator()).cpu(), expected)


def test_draws_cover_their_range_evenly():
    top, left, mirrored = draw_crops(9000, pad=1, flip=True, generator=generator())
    for drawn, values in ((top, 3), (left, 3), (mirrored.long(), 2)):
        assert drawn.bincount().float() / 9000 == pytest.approx([1 / values] * values, abs=0.02)
    assert not torch.equal(top, left)


def test_refuses_what_it_cannot_crop(refuses):
    with refuses("pad must be at least 0, got -1"):
        augment(pixels(4, 1, 6, 6), pad=-1, flip=True, generator=generator())
    with refuses("float32", "uint8"):
        augment(pixels(4, 1, 6, 6).float(), pad=1, flip=True, generator=generator())


def test_to_float_spans_zero_to_one():
    values = to_float(torch.arange(256, dtype=torch.uint8))
    assert values.dtype == torch.float32
    assert torch.equal(values, torch.arange(256) / 255)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(5, 40), min_size=2, max_size=6), st.floats(0.2, 0.7))
def test_every_class_gives_the_same_share_to_within_one_image(seed: int, counts: list[int], share: float) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    kept, held = held_out_positions(labels, len(counts), share, seed)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    assert held.tolist() == sorted(held.tolist())
    assert len(held) == round(share * len(labels))
    for label, count in enumerate(counts):
        assert abs(int((labels[held] == label).sum()) - count * len(held) / len(labels)) < 1
        assert 0 < int((labels[held] == label).sum()) < count
    again = held_out_positions(labels, len(counts), share, seed)
    assert torch.equal(again[1], held)
    assert held_out_positions(labels, len(counts), float(len(held)), seed)[1].tolist() == held.tolist()


def image_splits(count: int = 40) -> Splits:
    images = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    part = ImageSet(images, torch.arange(count) % 4, tuple("abcd"))
    return Splits("made up", part, part.select(slice(0, 4)))


def test_another_seed_holds_out_other_images_and_none_are_in_both_parts() -> None:
    splits = image_splits()
    first, second = (hold_out(splits, 8, seed) for seed in (1, 2))
    assert (len(first.train), len(first.test)) == (32, 8)
    train, held = (set(part.images[:, 0, 0, 0].tolist()) for part in (first.train, first.test))
    assert train | held == set(range(40))
    assert not train & held
    assert held != set(second.test.images[:, 0, 0, 0].tolist())
    assert hold_out(splits, 0, 1) is splits


def test_photos_are_held_out_without_being_decoded() -> None:
    class Unopened:
        def __len__(self) -> int:
            return 12

        def name(self, index: int) -> str:
            return f"photo {index}"

        def size(self, index: int) -> None:
            return None

        def open(self, index: int) -> str:
            raise AssertionError("decoded")

    photos = PhotoSet(Unopened(), torch.arange(12) % 3, tuple("abc"), 8, 1)
    found = hold_out(Splits("photos", photos, photos), 0.25, 5)
    names = [[part.source.name(k) for k in range(len(part))] for part in (found.train, found.test)]
    assert sorted(names[0] + names[1]) == sorted(f"photo {k}" for k in range(12))
    assert len(found.test) == 3
    assert sorted(found.test.labels.tolist()) == [0, 1, 2]


def test_of_a_small_class_one_image_is_held_out_and_one_is_kept() -> None:
    """The README's own path: photos.small holds out a tenth, and a folder may have one small class."""
    labels = torch.tensor([0] * 60 + [1] * 4 + [2] * 2)
    kept, held = held_out_positions(labels, 3, 0.1, 1)
    assert labels[held].bincount().tolist() == [6, 1, 1]
    assert labels[kept].bincount().tolist() == [54, 3, 1]
    assert labels[held_out_positions(labels, 3, 65, 1)[0]].bincount().tolist() == [1, 1, 1]
    assert labels[held_out_positions(labels, 3, 0.001, 1)[1]].bincount().tolist() == [1, 1, 1]


def test_a_class_of_one_image_is_not_held_out_and_said() -> None:
    splits = image_splits(9)
    labels = torch.tensor([0] * 7 + [1, 3])
    train = ImageSet(splits.train.images, labels, tuple("abcd"))
    with pytest.warns(UserWarning, match=r"made up: 2 classes have one training image \(b, d\), of which none is"):
        held = hold_out(Splits("made up", train, splits.test), 3, 1)
    assert held.test.labels.tolist() == [0, 0, 0]
    assert held.train.labels.tolist() == [0] * 4 + [1, 3]


def test_a_hold_out_without_a_choice_is_refused(refuses) -> None:
    with refuses("data.validation must be below the 40 training images, got 40"):
        hold_out(image_splits(), 40, 1)
    with refuses("data.validation must leave images of a class on both sides"):
        held_out_positions(torch.arange(4), 4, 0.5, 1)
