"""One optimiser step: forward, loss, backward, acceptance, clipping, update, projection (paper, Algorithm A.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.config import Config
from tide.heads import most_certain
from tide.losses import LossTerms, clipped_residuals, objective
from tide.models.thinker import Thinker
from tide.train.multipliers import GameMultipliers
from tide.train.optim import all_finite, clip_gradients_
from tide.train.schedule import curriculum, learning_rate_factor
from tide.types import ThoughtOutput


class MicroBatch(NamedTuple):
    """One forward and backward pass: detached loss terms, training accuracy (scalar), output, labels (B,)."""

    terms: LossTerms
    accuracy: Tensor
    out: ThoughtOutput
    labels: Tensor


@dataclass(frozen=True)
class StepResult:
    """What one step did, averaged over its micro-batches.

    Gradients (clipped) stay on the parameters until the next step, where the stability monitor reads them.
    ``last`` is the last micro-batch.
    """

    accepted: bool
    terms: LossTerms
    accuracy: Tensor
    gradient_norm: Tensor
    learning_rate: float
    curriculum: float
    last: MicroBatch


class Trainer:
    """The training step of a model with its optimiser.

    A step whose loss or any of whose gradients is not finite is rejected: parameters, optimiser, memory and
    BatchNorm statistics stay as they were before it.
    """

    def __init__(self, model: Thinker, optimizer: torch.optim.Optimizer, config: Config) -> None:
        """``config.train`` must be resolved (see :func:`tide.train.schedule.resolve`)."""
        self.model, self.optimizer, self.config = model, optimizer, config
        precision = config.train.mixed_precision
        self.model.backbone_precision = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        # Disabled it passes everything through; enabled, it scales the loss so that fp16 gradients do not underflow.
        self.scaler = torch.amp.GradScaler(model.mean.device.type, enabled=precision == "fp16")
        self.multipliers: GameMultipliers | None = None
        if config.loss.game == "augmented_lagrangian" and config.core.kind == "tide":
            self.multipliers = GameMultipliers.start(config.loss)

    def step(self, index: int, batches: Iterable[tuple[Tensor, Tensor]]) -> StepResult:
        """Run step ``index`` (0-based) on its micro-batches of (images (B, channels, H, W) in [0, 1], labels (B,))."""
        train = self.config.train
        assert train.warmup is not None
        assert train.curriculum_start is not None
        assert train.curriculum_length is not None
        rate = train.learning_rate * learning_rate_factor(index, train.warmup, train.steps)
        kappa = curriculum(index, train.curriculum_start, train.curriculum_length)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        statistics = _batch_statistics(self.model)
        before = [buffer.clone() for buffer in statistics]
        micro = [self._micro_batch(images, labels, kappa) for images, labels in batches]
        terms = LossTerms(
            torch.stack([m.terms.total for m in micro]).mean(),
            {name: torch.stack([m.terms.terms[name] for m in micro]).mean() for name in micro[0].terms.terms},
        )

        self.scaler.unscale_(self.optimizer)
        accepted = bool(terms.total.isfinite()) and all_finite(list(self.model.parameters()))
        norm = torch.full((), torch.nan)
        if accepted:
            if kappa > 0:
                self._move_multipliers(micro[-1])
            norm = clip_gradients_(self.model, train.clip)
            self.optimizer.step()
            self.model.project_()
            self.model.cell.consolidate_([m.out.dynamics for m in micro if m.out.dynamics is not None])
        else:
            for buffer, old in zip(statistics, before, strict=True):
                buffer.copy_(old)
        self.scaler.update()
        accuracy = torch.stack([m.accuracy for m in micro]).mean()
        return StepResult(accepted, terms, accuracy, norm, rate, kappa, micro[-1])

    @torch.no_grad()
    def _move_multipliers(self, batch: MicroBatch) -> None:
        blocks, dynamics = self.model.cell.blocks(), batch.out.dynamics
        if self.multipliers is not None and blocks is not None and dynamics is not None:
            residuals = clipped_residuals(dynamics, blocks, self.config.loss)
            self.multipliers.observe(*residuals, self.config.loss.game_every)

    def _micro_batch(self, images: Tensor, labels: Tensor, kappa: float) -> MicroBatch:
        config = self.config
        out = self.model(images, tbptt=config.train.tbptt, recompute=config.train.recompute)
        penalty = self.multipliers.penalty_now() if self.multipliers is not None else None
        terms = objective(out, labels, self.model.cell.blocks(), config.loss, curriculum=kappa, penalty=penalty)
        self.scaler.scale(terms.total / config.train.accumulation).backward()  # type: ignore[no-untyped-call]
        answers = most_certain(out.logits.detach(), out.certainty.detach()).argmax(1)
        accuracy = (answers == labels).float().mean()
        detached = LossTerms(terms.total.detach(), {name: term.detach() for name, term in terms.terms.items()})
        return MicroBatch(detached, accuracy, out, labels)


def _batch_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running statistics of every BatchNorm, which the forward pass moves in place."""
    return [b for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for b in m.buffers()]
