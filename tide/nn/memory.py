"""Surprise-gated associative memory with an E-I retention gate (equations §2.8)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.backbones.rows import reached_rows
from tide.config import MemoryConfig


class MemoryState(NamedTuple):
    """Memory m and its velocity v, each (B, d_m)."""

    memory: Tensor
    velocity: Tensor

    def rows(self, index: Tensor) -> MemoryState:
        """Keep the samples named by ``index``."""
        return MemoryState(self.memory[index], self.velocity[index])


class MemoryRead(NamedTuple):
    """Read-out m (B, T, d_m); surprise, gate and reconstruction error, each (B, T)."""

    memory: Tensor
    surprise: Tensor
    gate: Tensor
    reconstruction: Tensor


class SurpriseMemory(nn.Module):
    """Persistent buffers m, v, a projection head P_m: d_z → d_m and a reconstruction head R_m: d_m → d_z."""

    memory: Tensor
    velocity: Tensor

    def __init__(self, latent: int, ratio_target: float, config: MemoryConfig) -> None:
        super().__init__()
        self.config, self.ratio_target = config, ratio_target
        self.register_buffer("memory", torch.zeros(config.width))
        self.register_buffer("velocity", torch.zeros(config.width))
        self.project = _mlp(latent, config.width, config.width)
        self.reconstruct = _mlp(config.width, config.width, latent)
        self.sharpness = nn.Parameter(torch.zeros(()))

    def begin(self, batch: int) -> MemoryState:
        """Every sample starts from the persistent buffers."""
        return MemoryState(self.memory.expand(batch, -1), self.velocity.expand(batch, -1))

    def gate(self, ratio: Tensor) -> Tensor:
        """Return the retention gate exp(−β (ratio − r*)²), β = softplus(sharpness), in the shape of ``ratio``."""
        return torch.exp(-F.softplus(self.sharpness) * (ratio - self.ratio_target).square())

    @property
    def _shared(self) -> bool:
        return self.training and self.config.scope == "batch"

    def _advance(self, before: MemoryState, projected: Tensor, strength: Tensor) -> MemoryState:
        """One tick: v ← μ v + (1 − μ) g σ(s) (P_m(z) − m), m ← m + η v, with strength = g σ(s).

        In training with scope "batch" the update is the batch's mean, so that all samples hold one memory. In eval
        mode every sample is its own batch: an answer must not depend on its neighbours.
        """
        update = strength[..., None] * (projected - before.memory)
        if self._shared:
            update = update.mean(0, keepdim=True).expand_as(update)
        velocity = self.config.momentum * before.velocity + (1 - self.config.momentum) * update
        return MemoryState(before.memory + self.config.rate * velocity, velocity)

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
        stacked = MemoryState(torch.stack([s.memory for s in before], 1), torch.stack([s.velocity for s in before], 1))
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
        read = self.read(latent, ratio, projected, before)
        if not self._shared:
            memory = reached_rows(read.memory, self._read_out, (latent, ratio, *before), tuple(self.parameters()))
            read = read._replace(memory=memory)
        return read, final

    def _read_out(self, latent: Tensor, ratio: Tensor, memory: Tensor, velocity: Tensor) -> Tensor:
        return self.read(latent, ratio, self.project(latent), MemoryState(memory, velocity)).memory

    @torch.no_grad()
    def consolidate_(self, memory: Tensor, velocity: Tensor) -> None:
        """Move the persistent buffers towards the mean final state (d_m) of a batch; once per accepted step."""
        self.memory.lerp_(memory.to(self.memory), self.config.buffer_rate)
        self.velocity.lerp_(velocity.to(self.velocity), self.config.buffer_rate)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))
