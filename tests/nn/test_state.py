"""State that one can hold: selecting, mixing, repeating and detaching it, against the same done tensor by tensor."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils import _pytree as pytree

from tide.nn import Batched


class Inner(Batched):
    sums: Tensor
    count: Tensor  # (1, P): one for all samples


class Outer(Batched):
    batch_dim: ClassVar = {"turned": 1, "weights": None}

    plain: Tensor
    turned: Tensor
    weights: Tensor
    inner: Inner
    nothing: Tensor | None = None


def make(batch: int, seed: int, *, own_count: bool = False) -> Outer:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inner = Inner(sums=draw(batch, 3), count=draw(batch if own_count else 1, 3))
    return Outer(plain=draw(batch, 2), turned=draw(4, batch, 5), weights=draw(6, 6), inner=inner)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 6), seed=st.integers(0, 10**6), own=st.booleans(), data=st.data())
def test_rows_and_where_act_on_each_sample_alone(batch: int, seed: int, own: bool, data: st.DataObject) -> None:
    state, other = make(batch, seed, own_count=own), make(batch, seed + 1)
    assert state.batch == batch
    index = torch.tensor(data.draw(st.lists(st.integers(0, batch - 1), min_size=1, max_size=8)))
    kept = state.rows(index)
    assert torch.equal(kept.plain, state.plain[index])
    assert torch.equal(kept.turned, state.turned[:, index])
    assert torch.equal(kept.weights, state.weights)
    assert torch.equal(kept.inner.count.expand(len(index), -1), state.inner.count.expand(batch, -1)[index])
    done = torch.tensor(data.draw(st.lists(st.booleans(), min_size=batch, max_size=batch)))
    mixed = state.where(done, other)
    assert mixed.batch == batch
    assert mixed.nothing is None
    for sample in range(batch):
        source = other if done[sample] else state
        assert torch.equal(mixed.plain[sample], source.plain[sample])
        assert torch.equal(mixed.turned[:, sample], source.turned[:, sample])
        assert torch.equal(mixed.inner.count[sample], source.inner.count.expand(batch, -1)[sample])


def test_a_single_sample_stands_for_each_and_is_repeated_without_a_copy() -> None:
    state, start = make(4, 0), make(1, 1)
    done = torch.tensor([False, True, True, False])
    mixed = state.where(done, start)
    assert torch.equal(mixed.turned[:, 1], start.turned[:, 0])
    assert torch.equal(mixed.turned[:, 3], state.turned[:, 3])
    many = start.expand(7)
    assert many.batch == 7
    assert many.turned.data_ptr() == start.turned.data_ptr()
    assert torch.equal(many.inner.sums[5], start.inner.sums[0])


def test_it_is_frozen_detached_as_a_whole_and_a_pytree() -> None:
    state = make(2, 0)
    held = state.replace(plain=state.plain.clone().requires_grad_())
    assert held.plain.requires_grad
    assert not held.detach().plain.requires_grad
    with pytest.raises(AttributeError):
        state.plain = state.plain  # type: ignore[misc]
    doubled = pytree.tree_map(lambda value: 2 * value if isinstance(value, Tensor) else value, state)
    assert torch.equal(doubled.inner.sums, 2 * state.inner.sums)
    summed = torch.func.vmap(lambda part: part.sums.sum())(Inner(sums=state.inner.sums, count=state.inner.sums))
    assert torch.equal(summed, torch.stack([row.sum() for row in state.inner.sums]))
