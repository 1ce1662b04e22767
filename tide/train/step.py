"""One optimiser step: forward, loss, backward, acceptance, clipping, update, projection (paper, Algorithm A.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.config import Config
from tide.heads import at_tick, read_answers
from tide.inputs import Inputs
from tide.losses import LossTerms, clipped_residuals, objective
from tide.models.thinker import Thinker
from tide.train.multipliers import GameMultipliers
from tide.train.optim import NormHistory, clip_gradients_, gradient_norm
from tide.train.schedule import curriculum, learning_rate_factor
from tide.train.team import ALONE, Team
from tide.types import ThoughtOutput


class MicroBatch(NamedTuple):
    """One forward and backward pass: detached loss terms, training accuracy, output, labels (B, *S).

    ``finite`` says whether all logits are.
    """

    terms: LossTerms
    accuracy: Tensor
    finite: Tensor
    out: ThoughtOutput
    labels: Tensor


@dataclass(frozen=True)
class StepResult:
    """What one step did; loss terms and accuracy are means over the micro-batches of all processes.

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

    A step with a loss, a logit at any tick or a gradient that is not finite is rejected: parameters, optimiser, memory
    and BatchNorm statistics stay as they were before it.
    """

    def __init__(self, model: Thinker, optimizer: torch.optim.Optimizer, config: Config, team: Team = ALONE) -> None:
        """``config.train`` must be resolved (see :func:`tide.train.schedule.resolve`)."""
        self.model, self.optimizer, self.config, self.team = model, optimizer, config, team
        precision = config.train.mixed_precision
        self.model.backbone_precision = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        # Disabled it passes everything through; enabled, it scales the loss so that fp16 gradients do not underflow.
        self.scaler = torch.amp.GradScaler(model.mean.device.type, enabled=precision == "fp16")
        self.norms = NormHistory()
        self.multipliers: GameMultipliers | None = None
        if config.loss.game == "augmented_lagrangian" and config.core.kind == "tide":
            self.multipliers = GameMultipliers.start(config.loss)

    def step(self, index: int, batches: Iterable[tuple[Inputs, Tensor]]) -> StepResult:
        """Run step ``index`` (0-based) on its micro-batches of (inputs as the model takes them, labels (B, *S))."""
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
        statistics = BatchStatistics(self.model)
        micro = []
        for images, labels in batches:
            micro.append(self._micro_batch(images, labels, kappa))
            statistics.take()
        self.team.sum_([p.grad for p in self.model.parameters() if p.grad is not None])
        terms, accuracy, finite = self._mean_readings(micro)

        self.scaler.unscale_(self.optimizer)
        norm = gradient_norm(list(self.model.parameters()))
        # Gradients and mean readings are the same everywhere, so all processes decide alike; read back once.
        accepted = bool((finite == 1) & terms.total.isfinite() & norm.isfinite())
        if accepted:
            if kappa > 0:
                self._move_multipliers(micro)
            clip_gradients_(self.model, train.clip, norm, self.norms)
            self.optimizer.step()
            self.model.project_()
            dynamics = [m.out.dynamics for m in micro if m.out.dynamics is not None]
            self.model.cell.consolidate_(dynamics, self.team.mean)
            statistics.move_(self.team)
        else:
            norm = torch.full((), torch.nan)
            statistics.restore_()
        self.scaler.update()
        return StepResult(accepted, terms, accuracy, norm, rate, kappa, micro[-1])

    def _mean_readings(self, micro: Sequence[MicroBatch]) -> tuple[LossTerms, Tensor, Tensor]:
        """Return loss terms, accuracy and the share whose logits are finite, of all processes' micro-batches.

        It is one message.
        """
        rows = []
        for m in micro:
            numbers = (m.terms.total, *m.terms.terms.values(), m.accuracy, m.finite)
            rows.append(torch.stack([number.to(m.terms.total.dtype) for number in numbers]))
        total, *terms, accuracy, finite = self.team.mean(torch.stack(rows).mean(0)).unbind()
        return LossTerms(total, dict(zip(micro[0].terms.terms, terms, strict=True))), accuracy, finite

    @torch.no_grad()
    def _move_multipliers(self, micro: Sequence[MicroBatch]) -> None:
        blocks = self.model.cell.blocks()
        if self.multipliers is None or blocks is None:
            return
        pairs = [
            torch.stack(clipped_residuals(m.out.dynamics, blocks, self.config.loss))
            for m in micro
            if m.out.dynamics is not None
        ]
        residual_e, residual_i = self.team.mean(torch.stack(pairs).mean(0))
        self.multipliers.observe(residual_e, residual_i, self.config.loss.game_every)

    def _micro_batch(self, images: Inputs, labels: Tensor, kappa: float) -> MicroBatch:
        config = self.config
        out = self.model(images, tbptt=config.train.tbptt, recompute=config.train.recompute)
        penalty = self.multipliers.penalty_now() if self.multipliers is not None else None
        terms = objective(out, labels, self.model.cell.blocks(), config.loss, curriculum=kappa, penalty=penalty)
        self.scaler.scale(terms.total / config.train.accumulation).backward()  # type: ignore[no-untyped-call]
        logits, certainty = (part.detach() for part in out.answers())
        answer = read_answers(logits, certainty, config.output)
        accuracy = (at_tick(answer.classes, answer.certainty.argmax(1)) == labels).float().mean()
        detached = LossTerms(terms.total.detach(), {name: term.detach() for name, term in terms.terms.items()})
        # A tick that the loss does not read sends its NaN into no gradient.
        return MicroBatch(detached, accuracy, out.logits.detach().isfinite().all(), out, labels)


class BatchStatistics:
    """The running statistics of every BatchNorm over one step.

    Each micro-batch moves them from where the step began, and the step ends at the mean: so they do not depend on how
    the micro-batches are shared out. With one micro-batch they move as in PyTorch.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._buffers = [buffer for norm in norms for buffer in norm.buffers()]
        self._start = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]
        self._count = 0

    def take(self) -> None:
        """Note where a micro-batch's forward pass moved them, and put them back."""
        for total, buffer, start in zip(self._sums, self._buffers, self._start, strict=True):
            total += buffer
            buffer.copy_(start)
        self._count += 1

    def move_(self, team: Team) -> None:
        """Set them to the mean over the micro-batches of all processes."""
        floating = [total for total in self._sums if total.is_floating_point()]
        team.sum_(floating)
        for buffer, total, start in zip(self._buffers, self._sums, self._start, strict=True):
            if total.is_floating_point():
                buffer.copy_(total / (self._count * team.world))
            else:
                buffer.copy_(start + 1)  # the number of steps

    def restore_(self) -> None:
        """Put them back to where the step began."""
        for buffer, start in zip(self._buffers, self._start, strict=True):
            buffer.copy_(start)
