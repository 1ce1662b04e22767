"""State that one can hold: tensors of many samples, cut off from the gradient, selected, mixed and repeated as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def register_pytree(cls: type[Any], constant: tuple[str, ...] = ()) -> None:
    """Let ``torch.func``, ``torch.compile`` and ``torch.export`` look into a dataclass.

    Fields that are None, and those named in ``constant``, are no leaves.
    """
    names = tuple(field.name for field in dataclasses.fields(cls) if field.name not in constant)

    def with_keys(value: Any) -> tuple[list[tuple[Any, Any]], list[Any]]:
        present = [name for name in names if getattr(value, name) is not None]
        leaves = [(pytree.GetAttrKey(name), getattr(value, name)) for name in present]
        return leaves, [present, [getattr(value, name) for name in constant]]

    def flatten(value: Any) -> tuple[list[Any], list[Any]]:
        leaves, context = with_keys(value)
        return [leaf for _, leaf in leaves], context

    def rebuild(values: Iterable[Any], context: Any) -> Any:
        present, constants = context
        given = dict.fromkeys(names) | dict(zip(present, values, strict=True))
        return cls(**given, **dict(zip(constant, constants, strict=True)))

    pytree.register_pytree_node(
        cls,
        flatten,
        rebuild,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=with_keys,
    )


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Batched:
    """Tensors that belong to the same samples: a frozen dataclass with keyword arguments, without a decorator.

    Fields are tensors, others of this kind, or None. The first dimension of a tensor is the batch, unless
    ``batch_dim`` names another: None for what all samples share. A tensor of size 1 in this dimension, beside a larger
    batch, holds for every sample. Subclasses are pytrees, so that ``torch.func`` and ``torch.compile`` look inside.
    """

    batch_dim: ClassVar[Mapping[str, int | None]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)
        register_pytree(cls)

    @property
    def batch(self) -> int:
        """The number of samples; 1 where every field is shared."""
        sizes = [1]
        for name, value in vars(self).items():
            dim = self.batch_dim.get(name, 0)
            if isinstance(value, Batched):
                sizes.append(value.batch)
            elif isinstance(value, Tensor) and dim is not None:
                sizes.append(value.shape[dim])
        return max(sizes)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**(vars(self) | changes))

    def detach(self) -> Self:
        """Return the same values without the gradient to how they came about."""
        return self._map(lambda value, dim: value.detach())

    def rows(self, index: Tensor) -> Self:
        """Return the samples that ``index`` (kept,) names, int64 or bool."""
        batch = self.batch

        def select(value: Tensor, dim: int | None) -> Tensor:
            if dim is None or value.shape[dim] != batch:
                return value
            return value[index] if dim == 0 else value[(slice(None),) * dim + (index,)].contiguous()

        return self._map(select)

    def expand(self, count: int) -> Self:
        """Return ``count`` copies of the one sample that this holds, as views."""

        def repeat(value: Tensor, dim: int | None) -> Tensor:
            if dim is None:
                return value
            return value.expand(*(count if at == dim else size for at, size in enumerate(value.shape)))

        return self._map(repeat)

    def where(self, done: Tensor, other: Self) -> Self:
        """Return ``other`` for the samples where ``done`` (B,) bool holds, and this for all others.

        An episode that ends begins anew: ``state.where(done, start)``. ``other`` may hold a single sample, which then
        stands for each.
        """

        def mix(mine: Any, theirs: Any, dim: int | None) -> Any:
            if isinstance(mine, Batched):
                return mine.where(done, theirs)
            if mine is None or dim is None:
                return mine
            shape = [1] * mine.dim()
            shape[dim] = len(done)
            return torch.where(done.view(shape), theirs, mine)

        dims = {name: self.batch_dim.get(name, 0) for name in vars(self)}
        return type(self)(**{name: mix(mine, getattr(other, name), dims[name]) for name, mine in vars(self).items()})

    def _map(self, function: Callable[[Tensor, int | None], Tensor]) -> Self:
        def apply(name: str, value: Any) -> Any:
            if isinstance(value, Batched):
                return value._map(function)
            return function(value, self.batch_dim.get(name, 0)) if isinstance(value, Tensor) else value

        return type(self)(**{name: apply(name, value) for name, value in vars(self).items()})
