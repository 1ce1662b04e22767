"""Backward passes of row-wise functions, for the rows alone that a gradient reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def reached_rows(
    value: Tensor, function: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Return ``value``, whose backward pass leaves out the rows (b, t) that no gradient reaches.

    ``value`` (B, T, n) must be ``function(*inputs)`` of ``inputs`` (B, T, ...), computed as usual; ``function`` maps
    every row by itself, whatever the leading shape, draws no random numbers, and reads ``parameters``. Where most rows
    are reached, and on an accelerator, which would have to wait for the choice of rows, the gradient takes the usual
    way. The gradient is the same, its rounding is not. A NaN in a row that is left out reaches no gradient: look for it
    in ``value``.
    """
    if value.device.type != "cpu" or not value.requires_grad:
        return value
    reached: Tensor = _ReachedRows.apply(value, function, len(inputs), *inputs, *parameters)  # type: ignore[no-untyped-call]
    return reached


class _ReachedRows(torch.autograd.Function):
    """Hands the gradient to ``value`` and so to its graph, or else computes the few rows again and their gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, function: Callable[..., Tensor], count: int, *tensors: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.function, ctx.count = function, count
        ctx.save_for_backward(*tensors)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (gradient,), count, wanted = gradients, ctx.count, ctx.needs_input_grad[3:]
        usual = (gradient, None, None, *(None for _ in wanted))
        if gradient is None or torch.is_grad_enabled():  # the latter to differentiate this pass in its turn
            return usual
        rows = (gradient != 0).any(-1).flatten().nonzero().squeeze(1)
        if 2 * len(rows) > gradient[..., 0].numel():
            return usual
        inputs, parameters = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        few = [x.detach().flatten(0, 1)[rows].requires_grad_(want) for x, want in zip(inputs, wanted, strict=False)]
        with torch.enable_grad():
            value = ctx.function(*few)
        sources = [x for x, want in zip((*few, *parameters), wanted, strict=True) if want]
        found = iter(torch.autograd.grad(value, sources, gradient.flatten(0, 1)[rows], allow_unused=True))
        parts = [next(found) if want else None for want in wanted]
        for position, (x, part) in enumerate(zip(inputs, parts, strict=False)):
            if part is not None:
                spread = torch.zeros_like(x.flatten(0, 1)).index_copy_(0, rows, part)
                parts[position] = spread.view_as(x)
        return (None, None, None, *parts)
