"""From latent state to logits, how certain logits are (equations §2.9), and what they answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.nn import functional as F

from tide.config import OutputConfig
from tide.device import transformed
from tide.nn.weights import is_watched


class OutputHead(nn.Module):
    """Linear → GLU → LayerNorm → Linear on the latent state (and the memory), at one tick or at all of them."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float, norm_epsilon: float = 1e-5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(inputs, 2 * hidden),
            nn.GLU(dim=-1),
            nn.LayerNorm(hidden, eps=norm_epsilon),
            nn.Linear(hidden, classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (B, C |S|, T) from (B, T, inputs)."""
        inputs, after_dropout = self.layers[0](inputs), self.layers[1:]
        if is_watched(after_dropout):  # a hook sees each row once
            watched: Tensor = after_dropout(inputs)
            return watched.transpose(1, 2)
        logits = skip_zero_rows(after_dropout(inputs), after_dropout, (inputs,), tuple(after_dropout.parameters()))
        return logits.transpose(1, 2)


class ReluHead(nn.Module):
    """Linear → ReLU → Linear → ReLU → Linear, orthogonal with gain 1, of an agent: its actor or its critic.

    ``norm`` puts a LayerNorm in front.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, norm: bool = False) -> None:
        super().__init__()
        sizes = ((inputs, hidden), (hidden, hidden), (hidden, outputs))
        linear = [nn.Linear(*size) for size in sizes]
        for layer in linear:
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.norm = nn.LayerNorm(inputs) if norm else nn.Identity()
        self.layers = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs (B, outputs, T) from (B, T, inputs)."""
        outputs: Tensor = self.layers(self.norm(inputs)).transpose(1, 2)
        return outputs


def inputs_of(head: nn.Module) -> int:
    """Return the width of what a head reads."""
    return next(module.in_features for module in head.modules() if isinstance(module, nn.Linear))


def certainty(logits: Tensor) -> Tensor:
    """Return 1 − H(softmax)/ln C, in [0, 1], of logits (B, C, *S, T) as (B, T), the mean over positions."""
    log_p = F.log_softmax(logits, dim=1)
    entropy = over_positions(-(log_p.exp() * log_p).sum(1))
    return (1 - entropy / math.log(logits.shape[1])).clamp(0, 1)  # rounding may leave [0, 1] by 1e-6


def most_certain(logits: Tensor, certainties: Tensor) -> Tensor:
    """Return the logits (B, C, *S) at each sample's most certain tick (the first, where several tie)."""
    return at_tick(logits, certainties.argmax(1))


def at_tick(values: Tensor, tick: Tensor) -> Tensor:
    """Return ``values`` (B, ..., T) at the tick (B,) of each sample, (B, ...)."""
    index = tick.reshape(-1, *[1] * (values.dim() - 1)).expand(*values.shape[:-1], 1)
    return values.gather(-1, index).squeeze(-1)


def over_positions(values: Tensor) -> Tensor:
    """Return the mean over the positions of an answer, (B, T), of values (B, *S, T)."""
    return values.flatten(1, -2).mean(1) if values.dim() > 2 else values


def arranged(values: Tensor, output: OutputConfig) -> Tensor:
    """Return logits (B, C, *S, T) from those of a cell, (B, C |S|, T), where they stand position by position."""
    if not output.positions:
        return values
    shape = (values.shape[0], *output.positions, output.classes, values.shape[-1])
    return values.reshape(shape).movedim(-2, 1)


class Answer(NamedTuple):
    """What a model answers after each tick: classes (B, *S, T), and how certain of it it is, (B, T)."""

    classes: Tensor
    certainty: Tensor


def read_answers(logits: Tensor, certainties: Tensor, output: OutputConfig) -> Answer:
    """Return the likeliest classes; of a list that is emitted over the ticks, what is out after each of them.

    Such a list is the more certain the more of it is out: it is answered when it is complete.
    """
    if not output.emitted:
        return Answer(logits.argmax(1), certainties)
    out = emitted(logits, output.emitted)
    return Answer(out, (out >= 0).to(certainties.dtype).mean(1) + 0 * certainties)  # NaN stays NaN


def share_right(classes: Tensor, targets: Tensor) -> Tensor:
    """Return whether answers (B, *S, T) are right, (B, T) bool; of several positions, the share that are (float64)."""
    right = classes == targets[..., None]
    return over_positions(right.double()) if right.dim() > 2 else right


def emitted(logits: Tensor, length: int) -> Tensor:
    """Return the first ``length`` symbols emitted up to each tick, (B, length, T) int64, -1 where none is yet.

    Greedy: the likeliest class of each tick, but for blanks (the last class) and a symbol equal to the last one
    emitted, as the reference CTM decodes (arXiv:2505.05522).
    """
    likeliest, blank = logits.argmax(1), logits.shape[1] - 1
    batch = len(likeliest)
    now = likeliest.new_full((batch, length), -1)
    count, last = likeliest.new_zeros(batch), likeliest.new_full((batch,), blank)
    after = []
    for symbol in likeliest.unbind(1):
        emits = (symbol != blank) & (symbol != last)
        place = torch.where(emits & (count < length), count, length)
        now = torch.cat((now, now[:, :1]), 1).scatter(1, place[:, None], symbol[:, None])[:, :length]
        count, last = count + emits, torch.where(emits, symbol, last)
        after.append(now)
    return torch.stack(after, -1)


def skip_zero_rows(
    value: Tensor, function: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Return ``value``; recompute and backpropagate only its rows (b, t) whose gradient is not zero.

    The task loss reads two ticks of a sample, so of the B T rows that the output head maps at most 2 B get a gradient;
    the others would cost the same to add zeros.

    ``value`` (B, T, n) must be ``function(*inputs)`` of ``inputs`` (B, T, ...), computed as usual; ``function`` maps
    every row by itself, whatever the leading shape, draws no random numbers, and reads ``parameters``. Where most rows
    are reached, and on an accelerator, which would have to wait for the choice of rows, the gradient takes the usual
    way. The gradient is the same, its rounding is not. A NaN in a row that is left out reaches no gradient: look for it
    in ``value``.
    """
    if value.device.type != "cpu" or not value.requires_grad or transformed():
        return value
    reached: Tensor = _SkipZeroRows.apply(value, function, len(inputs), *inputs, *parameters)  # type: ignore[no-untyped-call]
    return reached


class _SkipZeroRows(torch.autograd.Function):
    """Hands the gradient to ``value`` and so to its graph, or else computes the few rows again and their gradient.

    They are computed under the autocast of the forward pass, whatever holds where the backward pass is called.
    """

    @staticmethod
    @custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def forward(ctx: Any, value: Tensor, function: Callable[..., Tensor], count: int, *tensors: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.function, ctx.count = function, count
        ctx.save_for_backward(*tensors)
        return value.view_as(value)

    @staticmethod
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (gradient,), count, needed = gradients, ctx.count, ctx.needs_input_grad[3:]
        unchanged = (gradient, None, None, *(None for _ in needed))
        if gradient is None or torch.is_grad_enabled():  # the latter to differentiate this pass in its turn
            return unchanged
        rows = (gradient != 0).any(-1).flatten().nonzero().squeeze(1)
        if 2 * len(rows) > gradient[..., 0].numel():
            return unchanged
        inputs, parameters = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        few = [x.detach().flatten(0, 1)[rows].requires_grad_(need) for x, need in zip(inputs, needed, strict=False)]
        with torch.enable_grad():
            value = ctx.function(*few)
        sources = [x for x, need in zip((*few, *parameters), needed, strict=True) if need]
        computed = iter(torch.autograd.grad(value, sources, gradient.flatten(0, 1)[rows], allow_unused=True))
        parts = [next(computed) if need else None for need in needed]
        for position, (x, part) in enumerate(zip(inputs, parts, strict=False)):
            if part is not None:
                spread = torch.zeros_like(x.flatten(0, 1)).index_copy_(0, rows, part)
                parts[position] = spread.view_as(x)
        return (None, None, None, *parts)
