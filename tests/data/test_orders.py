"""The training order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tide.data import batch_indices, derive_seed

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


def test_global_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    batch_indices(11, 5, 0, 8)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("count", "batch", "step", "name"), [(0, 1, 0, "count is 0"), (1, 0, 0, "batch is 0"), (1, 1, -1, "step is -1")]
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
