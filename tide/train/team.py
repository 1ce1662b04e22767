"""The processes of one run: each takes its share of the micro-batches, and all hold the same model after every step.

Started by ``torchrun --nproc-per-node N -m tide train ...``. Gradients are summed once per optimiser step over all of
them, so that accumulation costs no communication; everything that decides (acceptance, stopping) is decided together.
A wrapper around the model is not needed for that, and weights keep their names.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tide.device import whole_number_of
from tide.errors import ConfigError, InputError, TrainingError, one_line

TIMEOUT = timedelta(minutes=5)


@dataclass(frozen=True)
class Team:
    """``world`` processes, of which this is number ``rank``; ``local_rank`` on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Team:
        """Return the team that ``torchrun``, or a launcher like it, describes in the environment, else a team of one.

        A team of one needs no variable. Raises :class:`InputError` for one that is missing or wrong.
        """
        world = whole_number_of("WORLD_SIZE", 1, lowest=1)
        if world == 1:
            return cls()
        whole_number_of("MASTER_PORT", lowest=1, highest=65535)
        if not os.environ.get("MASTER_ADDR", "").strip():
            raise InputError(
                f"MASTER_ADDR must be set for WORLD_SIZE {world}; start with torchrun, or unset WORLD_SIZE"
            )
        local = whole_number_of("LOCAL_WORLD_SIZE", world, lowest=1, highest=world)
        return cls(whole_number_of("RANK", highest=world - 1), world, whole_number_of("LOCAL_RANK", highest=local - 1))

    @contextmanager
    def process_group(self, device: torch.device) -> Iterator[None]:
        """Join the other processes for the time of the block."""
        if self.world == 1:
            yield
            return
        # The first step of an optimiser would import it, and the defaults of its functions hold the group of that time
        # for ever: threads of gloo then outlive the group and may abort the process while Python shuts down.
        importlib.import_module("torch.distributed.nn.functional")
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        except (RuntimeError, ValueError, OSError) as error:
            place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise TrainingError(
                f"{self.world} processes must meet at MASTER_ADDR:MASTER_PORT, got {place} ({one_line(error)[:160]}); "
                "start all of them, or give another address"
            ) from error
        try:
            yield
        finally:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, count: int, what: str) -> range:
        """Return which of ``count`` micro-batches are this process's; raises :class:`ConfigError` if unequal."""
        if count % self.world:
            raise ConfigError(
                f"{what} must be a multiple of the {self.world} processes, got {count}; it counts the micro-batches of "
                "all of them together"
            )
        return range(self.rank, count, self.world)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over the processes, in place: one message for all of them."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._do(lambda: dist.all_reduce(flat))
        parts = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the processes."""
        if self.world == 1:
            return tensor
        total = tensor.detach().clone()
        self._do(lambda: dist.all_reduce(total))
        return total / self.world

    def any(self, flag: bool) -> bool:
        """Say whether it holds for any process."""
        if self.world == 1:
            return flag
        votes = torch.tensor([float(flag)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        self._do(lambda: dist.all_reduce(votes))
        return bool(votes.item() > 0)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        self._do(lambda: dist.all_gather_object(values, value))
        return values

    def _do(self, collective: Any) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise TrainingError(
                f"another process of this run ended or does not answer ({one_line(error)[:160]}); continue from the "
                "last checkpoint with --resume, on any number of processes"
            ) from error


ALONE = Team()
