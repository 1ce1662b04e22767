"""Surprise-gated associative memory with an E-I retention gate (equations §2.8).

The memory reads the latent state and feeds the output head only; nothing of it returns to the dynamics. So it runs
after the ticks, in two passes: :meth:`SurpriseMemory.scan` walks m and v over the ticks without gradient, then
:meth:`SurpriseMemory.read` evaluates both heads, the gate and the read-out of all ticks at once from the stored
m_{t-1}, v_{t-1}. What is carried from tick to tick thus never receives the task's gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.nn.state import Batched
from tide.types import MemoryScope


class MemoryState(Batched):
    """Memory m and its velocity v, each (B, d_m)."""

    memory: Tensor
    velocity: Tensor


class MemoryRead(NamedTuple):
    """Read-out m (B, T, d_m); surprise, gate and reconstruction error, each (B, T)."""

    memory: Tensor
    surprise: Tensor
    gate: Tensor
    reconstruction: Tensor


class SurpriseMemory(nn.Module):
    """Persistent buffers m, v, a projection head P_m: d_z → d_m and a reconstruction head R_m: d_m → d_z.

    Args:
        latent: width d_z of the latent state.
        width: width d_m of the memory.
        ratio_target: r*, the E-I ratio at which the memory keeps most.
        scope: ``"sample"``, every sample carries its own memory over the ticks; ``"batch"``, the paper's one buffer.
        momentum: μ of the velocity.
        rate: step η from velocity to memory.
        buffer_rate: how far the buffers move towards a batch's final state at each :meth:`consolidate_`.
    """

    memory: Tensor
    velocity: Tensor

    def __init__(
        self,
        latent: int,
        *,
        width: int = 128,
        ratio_target: float = 4.0,
        scope: MemoryScope = "sample",
        momentum: float = 0.9,
        rate: float = 0.1,
        buffer_rate: float = 0.01,
    ) -> None:
        super().__init__()
        self.ratio_target, self.momentum, self.rate, self.buffer_rate = ratio_target, momentum, rate, buffer_rate
        self.scope: MemoryScope = scope
        self.register_buffer("memory", torch.zeros(width))
        self.register_buffer("velocity", torch.zeros(width))
        self.project = _mlp(latent, width, width)
        self.reconstruct = _mlp(width, width, latent)
        self.sharpness = nn.Parameter(torch.zeros(()))

    def initial(self, batch: int) -> MemoryState:
        """Every sample starts from the persistent buffers."""
        return MemoryState(memory=self.memory.expand(batch, -1), velocity=self.velocity.expand(batch, -1))

    def gate(self, ratio: Tensor) -> Tensor:
        """Return the retention gate exp(−β (ratio − r*)²), β = softplus(sharpness), in the shape of ``ratio``."""
        return torch.exp(-F.softplus(self.sharpness) * (ratio - self.ratio_target).square())

    @property
    def shared(self) -> bool:
        """Whether all samples of a batch hold one memory now."""
        return self.training and self.scope == "batch"

    def _advance(self, before: MemoryState, projected: Tensor, strength: Tensor) -> MemoryState:
        """One tick: v ← μ v + (1 − μ) g σ(s) (P_m(z) − m), m ← m + η v, with strength = g σ(s).

        In training with scope "batch" the update is the batch's mean, so that all samples hold one memory. In eval
        mode every sample is its own batch: an answer must not depend on its neighbours.
        """
        update = strength[..., None] * (projected - before.memory)
        if self.shared:
            update = update.mean(0, keepdim=True).expand_as(update)
        velocity = self.momentum * before.velocity + (1 - self.momentum) * update
        return MemoryState(memory=before.memory + self.rate * velocity, velocity=velocity)

    @torch.no_grad()
    def scan(
        self, latent: Tensor, ratio: Tensor, projected: Tensor, start: MemoryState
    ) -> tuple[MemoryState, MemoryState]:
        """Walk over the ticks of ``latent`` (B, T, d_z), ``ratio`` (B, T) and P_m(z) (B, T, d_m), without gradient.

        Returns m_{t-1}, v_{t-1} stacked over ticks, (B, T, d_m) each, and the state after the last tick.
        """
        gate, state, before = self.gate(ratio), start, []
        for tick in range(latent.shape[1]):
            before.append(state)
            surprise = (self.reconstruct(state.memory) - latent[:, tick]).square().mean(-1)
            state = self._advance(state, projected[:, tick], gate[:, tick] * torch.sigmoid(surprise))
        stacked = MemoryState(
            memory=torch.stack([s.memory for s in before], 1), velocity=torch.stack([s.velocity for s in before], 1)
        )
        return stacked, state

    def read(self, latent: Tensor, ratio: Tensor, projected: Tensor, before: MemoryState) -> MemoryRead:
        """Evaluate all ticks at once, with gradient through both heads and the gate but not through ``before``."""
        rebuilt = self.reconstruct(before.memory)
        surprise = (rebuilt - latent).square().mean(-1)
        gate = self.gate(ratio)
        after = self._advance(before, projected, gate * torch.sigmoid(surprise))
        # The latent is detached here: the reconstruction term trains R_m and must not pull the latent state.
        return MemoryRead(after.memory, surprise, gate, (rebuilt - latent.detach()).square().mean(-1))

    def forward(self, latent: Tensor, ratio: Tensor, start: MemoryState) -> tuple[MemoryRead, MemoryState]:
        """Both passes: the reads of all ticks and the state after the last."""
        projected = self.project(latent)
        before, final = self.scan(latent, ratio, projected, start)
        return self.read(latent, ratio, projected, before), final

    def recall(self, latent: Tensor, ratio: Tensor, memory: Tensor, velocity: Tensor) -> Tensor:
        """Return the read-out m alone, (..., d_m), row by row, from what was carried into each tick."""
        before = MemoryState(memory=memory, velocity=velocity)
        return self.read(latent, ratio, self.project(latent), before).memory

    @torch.no_grad()
    def consolidate_(self, memory: Tensor, velocity: Tensor) -> None:
        """Move the persistent buffers towards the mean final state (d_m) of a batch; once per accepted step."""
        self.memory.lerp_(memory.to(self.memory), self.buffer_rate)
        self.velocity.lerp_(velocity.to(self.velocity), self.buffer_rate)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))
