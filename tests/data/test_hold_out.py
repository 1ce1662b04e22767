"""A held-out part of the training images: disjoint, stratified, the same for the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tide.data import ImageSet, PhotoSet, Splits, hold_out
from tide.data.hold_out import held_out_positions
from tide.errors import DataError


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(4, 40), min_size=2, max_size=6), st.floats(0.2, 0.7))
def test_every_class_gives_the_same_share_to_within_one_image(seed: int, counts: list[int], share: float) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    try:
        kept, held = held_out_positions(labels, len(counts), share, seed)
    except DataError:
        assert min(counts) * share < 1 or min(counts) * (1 - share) < 1
        return
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    assert held.tolist() == sorted(held.tolist())
    assert len(held) == round(share * len(labels))
    for label, count in enumerate(counts):
        assert abs(int((labels[held] == label).sum()) - count * len(held) / len(labels)) < 1
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


@pytest.mark.parametrize(("validation", "told"), [(40.0, "fewer than the 40"), (3.0, "on both sides"), (38.0, "both")])
def test_a_part_that_leaves_a_class_without_images_is_refused(validation: float, told: str) -> None:
    with pytest.raises(DataError, match=told):
        hold_out(image_splits(), validation, 1)
