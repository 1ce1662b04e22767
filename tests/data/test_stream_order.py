"""The order of streamed photos: whole epochs, lanes of their own, row groups read once."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tide.data import StreamOrder

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(SIZES, st.integers(1, 4), st.integers(1, 20), st.integers(0, 99))
def test_lanes_share_all_photos_and_show_each_once_an_epoch(sizes, lanes, buffer, seed):
    lanes = min(lanes, len(sizes))
    order, shown = StreamOrder(sizes, lanes, buffer, seed), []
    ends = torch.tensor(sizes).cumsum(0)
    for lane in range(lanes):
        count = next(n for n in range(1, sum(sizes) + 2) if len(set(order.positions(lane, 0, n).tolist())) < n) - 1
        epochs = [order.positions(lane, epoch * count, count).tolist() for epoch in range(3)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
        shown += epochs[0]
        # A row group that has been left does not come again in the epoch, and no more are open than the buffer wants.
        for epoch in epochs:
            groups = torch.bucketize(torch.tensor(epoch), ends, right=True).tolist()
            spans = {group: (groups.index(group), count - groups[::-1].index(group)) for group in groups}
            for place in range(count):
                opened = [g for g, (first, last) in spans.items() if first <= place < last]
                assert sum(sizes[g] for g in opened) < buffer + max(sizes)
    assert sorted(shown) == list(range(sum(sizes)))


@given(SIZES, st.integers(1, 20), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_any_cuts_of_the_order_give_the_same_photos(sizes, buffer, cuts):
    order, other = (StreamOrder(sizes, 1, buffer, 7) for _ in range(2))
    edges = [0, *torch.tensor(cuts).cumsum(0).tolist()]
    pieces = [other.positions(0, start, end - start) for start, end in pairwise(edges)]
    assert torch.equal(torch.cat(pieces), order.positions(0, 0, edges[-1]))
    assert torch.equal(StreamOrder(sizes, 1, buffer, 7).positions(0, edges[-2], cuts[-1]), pieces[-1])


def test_epochs_seeds_and_lanes_are_shuffled_in_ways_of_their_own():
    sizes = [10] * 12
    order = StreamOrder(sizes, 2, 30, 1)
    first, second = (order.positions(0, start, 60).tolist() for start in (0, 60))
    assert first != second
    assert first != sorted(first)
    assert StreamOrder(sizes, 2, 30, 2).positions(0, 0, 60).tolist() != first
    assert sorted(first[:30]) != sorted(second[:30])  # other row groups meet in the buffer
    # A buffer of everything is a plain permutation; one of a single photo keeps row groups together.
    alone = StreamOrder(sizes, 1, 1, 1).positions(0, 0, 120).reshape(12, 10) // 10
    assert bool((alone == alone[:, :1]).all())


def test_refuses_more_lanes_than_row_groups(refuses):
    with refuses("2 row groups", "at least 3 are wanted", "train.accumulation"):
        StreamOrder([4, 4], 3, 10, 0)
    with refuses("buffer is 0"):
        StreamOrder([4, 4], 1, 0, 0)


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_lane_shorter_than_its_batch_begins_again(lanes):
    order = StreamOrder([2, 2], lanes, 10, 0)
    assert len(order.positions(lanes - 1, 0, 9)) == 9
