"""One optimiser step: schedule, AdamW, clipping, the game's multipliers (paper, Algorithm A.1); and its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tide.config import TERMS, ClipConfig, Config, ImageConfig, LossConfig, TrainConfig
from tide.device import synchronize
from tide.errors import TrainingError
from tide.losses import LossTerms, clipped_residuals, objective
from tide.models.cell import State
from tide.models.heads import at_tick, read_answers
from tide.models.inputs import Inputs, example, moved
from tide.models.thinker import Thinker
from tide.nn import project_
from tide.train.team import ALONE, Team
from tide.types import GamePenalty, ThoughtOutput

# Learning rate and curriculum as closed forms of the step, and how shortened runs scale them (equations §4, §5).


FLOOR = 0.05  # of the run: the least warm-up, curriculum start and ramp of a run shorter than its preset


def curriculum(step: int, start: int, length: int) -> float:
    """Return κ(step) in [0, 1]: 0 before ``start``, a half cosine over ``length`` steps, then 1 (paper, A.24)."""
    if step < start:
        return 0.0
    if step >= start + length:
        return 1.0
    return 0.5 * (1 - math.cos(math.pi * (step - start) / length))


def learning_rate_factor(step: int, warmup: int, steps: int) -> float:
    """Return the share of the peak learning rate at a 0-based step: linear warm-up, then cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in warm-up, curriculum start and length where they are not given.

    They come from the reference schedule; when the number of steps differs from the reference they scale in
    proportion, each at least 5 % of the run.
    """
    reference = config.reference

    def scaled(steps: int) -> int:
        if config.steps == reference.steps:
            return steps
        return max(round(steps * config.steps / reference.steps), round(FLOOR * config.steps))

    return replace(
        config,
        warmup=scaled(reference.warmup) if config.warmup is None else config.warmup,
        curriculum_start=(
            scaled(reference.curriculum_start) if config.curriculum_start is None else config.curriculum_start
        ),
        curriculum_length=(
            scaled(reference.curriculum_length) if config.curriculum_length is None else config.curriculum_length
        ),
    )


def idle_terms(train: TrainConfig, loss: LossConfig) -> list[str]:
    """Return the weighted auxiliary terms that never count because the curriculum starts too late."""
    assert train.curriculum_start is not None
    assert train.curriculum_length is not None
    if curriculum(train.steps - 1, train.curriculum_start, train.curriculum_length) > 0:
        return []
    return [term.name for term in TERMS if term.ramped and loss.weight(term) > 0]


# AdamW with its parameter groups, gradient norms by component, clipping (equations §5).


REMEMBERED = 1_000  # norms of steps


def decays(name: str, parameter: Tensor) -> bool:
    """Say whether weight decay applies: to matrices and kernels, not to biases, gains, decays and start states."""
    own = name.rpartition(".")[2]
    return parameter.dim() >= 2 and not own.endswith("bias") and not own.startswith("start")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW with one group that decays and one that does not."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Load an optimiser's state, whose settings and shapes must be those of ``optimizer``.

    Raises:
        ValueError: they are not; KeyError or TypeError for what is no state of an optimiser.
    """
    fresh = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for before, group in zip(fresh, optimizer.param_groups, strict=True):
        if any(group.get(name) != value for name, value in before.items()):
            raise ValueError("the optimiser has other settings")
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                shape = () if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape or not value.is_floating_point():
                    raise ValueError(f"the optimiser's {name} is of another shape or type than its parameter")


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Return the global norm of the gradients, summed in float64: squares of finite gradients must not overflow."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    wide = torch.float32 if gradients[0].device.type == "mps" else torch.float64  # which Apple's GPUs lack
    return torch.stack(torch._foreach_norm(gradients, 2, dtype=wide)).square().sum().sqrt()


def component_parameters(model: Thinker) -> dict[str, list[Tensor]]:
    """Return the trained parameters by component name."""
    return {name: [p for p in members if p.requires_grad] for name, members in model.components().items()}


class NormHistory:
    """The gradient norms of the last accepted steps, whose quantile bounds the next (AutoClip, arXiv:2007.14469)."""

    def __init__(self) -> None:
        self._norms: list[float] = []

    def bound(self, norm: Tensor, quantile: float) -> float:
        """Note a norm and return the quantile of all that are remembered."""
        self._norms = [*self._norms[1 - REMEMBERED :], float(norm)]
        return float(torch.tensor(self._norms, dtype=torch.float64).quantile(quantile))

    def state_dict(self) -> list[float]:
        """Return what is remembered."""
        return list(self._norms)

    def load_state_dict(self, state: Sequence[float]) -> None:
        """Continue from :meth:`state_dict`."""
        self._norms = [float(norm) for norm in state]


def clip_gradients_(model: Thinker, config: ClipConfig, norm: Tensor, history: NormHistory) -> None:
    """Clip by the norm of each component that has a bound, then by the global norm, which is ``norm`` before both."""
    parameters, components = list(model.parameters()), component_parameters(model)
    bounded = [name for name in components if getattr(config, name) is not None]
    for name in bounded:
        _scale_(components[name], getattr(config, name), gradient_norm(components[name]))
    if config.quantile is not None:
        now = gradient_norm(parameters) if bounded else norm
        _scale_(parameters, history.bound(now, config.quantile), now)
    if config.total is not None:
        _scale_(parameters, config.total, gradient_norm(parameters) if bounded or config.quantile else norm)


def _scale_(parameters: Sequence[Tensor], highest: float, norm: Tensor) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        factor = (highest / (norm + 1e-12)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor.to(gradients[0]))


# Multipliers of the augmented Lagrangian for the game: the paper's own future work in place of a fixed weight.
#
# The constraint is that both players' mean-field Nash residuals R_E and R_I vanish. The game term is then Σ_p λ_p R_p
# + μ/2 R_p², and after every so many accepted steps λ_p ← λ_p + μ R̄_p with the mean R̄_p over them, while μ grows
# where the residual has not fallen by a quarter (Hestenes, 1969; Powell, 1969; Bertsekas, 1982).


GROWTH = 2.0
ENOUGH = 0.75  # of the residual before: above it the penalty grows
MOST = 1e4  # of penalty and multipliers


@dataclass
class GameMultipliers:
    """λ_E, λ_I and μ, and the residuals seen since they last moved."""

    multiplier_e: float = 1.0
    multiplier_i: float = 1.0
    penalty: float = 1.0
    before: float = float("inf")
    sum_e: float = 0.0
    sum_i: float = 0.0
    steps: int = 0

    @classmethod
    def start(cls, config: LossConfig) -> GameMultipliers:
        """λ = 1, with which the term begins as the mean-field game, and the configured μ."""
        return cls(penalty=config.game_penalty)

    def as_penalty(self) -> GamePenalty:
        """Return what the loss needs."""
        return GamePenalty(self.multiplier_e, self.multiplier_i, self.penalty)

    def observe(self, residual_e: Tensor, residual_i: Tensor, every: int) -> None:
        """Take in the residuals of one accepted step; move after ``every`` of them."""
        self.sum_e += float(residual_e)
        self.sum_i += float(residual_i)
        self.steps += 1
        if self.steps < every:
            return
        mean_e, mean_i = self.sum_e / self.steps, self.sum_i / self.steps
        self.multiplier_e = min(MOST, self.multiplier_e + self.penalty * mean_e)
        self.multiplier_i = min(MOST, self.multiplier_i + self.penalty * mean_i)
        if mean_e + mean_i > ENOUGH * self.before:
            self.penalty = min(MOST, GROWTH * self.penalty)
        self.before, self.sum_e, self.sum_i, self.steps = mean_e + mean_i, 0.0, 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> GameMultipliers:
        """Continue from :meth:`state_dict`."""
        return cls(**state)


# One optimiser step: forward, loss, backward, acceptance, clipping, update, projection (paper, Algorithm A.1).


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
    ``last`` is the last micro-batch, ``ends`` the state, without gradient, in which the thought of each ended.
    """

    accepted: bool
    terms: LossTerms
    accuracy: Tensor
    gradient_norm: Tensor
    learning_rate: float
    curriculum: float
    last: MicroBatch
    ends: tuple[State, ...]


def averaged(model: Thinker, decay: float) -> AveragedModel:
    """Return a model whose weights follow, by this decay per step, those of ``model``; early on they follow faster."""

    def move(average: Any, current: Any, number: Any) -> None:
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - min(decay, (1 + float(number)) / (10 + float(number))))
        else:
            torch._foreach_copy_(average, current)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True)


class Trainer:
    """The training step of a model with its optimiser.

    A step with a loss, a logit at any tick or a gradient that is not finite is rejected: parameters, optimiser, memory
    and BatchNorm statistics stay as they were before it.
    """

    def __init__(self, model: Thinker, optimizer: torch.optim.Optimizer, config: Config, team: Team = ALONE) -> None:
        """``config.train`` must be resolved (see :func:`tide.train.step.resolve`)."""
        self.model, self.optimizer, self.config, self.team = model, optimizer, config, team
        precision = config.train.mixed_precision
        self.model.backbone_precision = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        # Disabled it passes everything through; enabled, it scales the loss so that fp16 gradients do not underflow.
        self.scaler = torch.amp.GradScaler(model.mean.device.type, enabled=precision == "fp16")
        self.norms = NormHistory()
        self.average = averaged(model, config.train.ema) if config.train.ema is not None else None
        self.multipliers: GameMultipliers | None = None
        if config.loss.game == "augmented_lagrangian" and config.core.kind == "tide":
            self.multipliers = GameMultipliers.start(config.loss)

    def step(
        self, index: int, batches: Iterable[tuple[Inputs, Tensor]], states: Iterable[State] | None = None
    ) -> StepResult:
        """Run step ``index`` (0-based) on its micro-batches of (inputs as the model takes them, labels (B, *S)).

        With ``states``, one for each micro-batch, the model thinks on from there.
        """
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
        before = repeat(None) if states is None else states
        for (images, labels), state in zip(batches, before, strict=states is not None):
            micro.append(self._micro_batch(images, labels, kappa, state))
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
            if self.average is not None:
                self.average.update_parameters(self.model)
                project_(self.average.module)
        else:
            norm = torch.full((), torch.nan)
            statistics.restore_()
        self.scaler.update()
        ends = tuple(m.out.state.detach() for m in micro)
        return StepResult(accepted, terms, accuracy, norm, rate, kappa, micro[-1], ends)

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

    def _micro_batch(self, images: Inputs, labels: Tensor, kappa: float, state: State | None) -> MicroBatch:
        config, train = self.config, self.config.train
        ahead = int(torch.randint(train.head_start + 1, ())) if train.head_start and state is None else 0
        out = self.model(images, state=state, tbptt=train.tbptt, recompute=train.recompute, head_start=ahead)
        penalty = self.multipliers.as_penalty() if self.multipliers is not None else None
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


# Timing steps: the same random images every time, several functions in turn.


def step_on_random_images(config: Config, device: torch.device) -> tuple[Trainer, Callable[[], None]]:
    """Return a trainer of ``config`` (resolved) and a function that runs one of its steps on random images.

    The step lies past the curriculum, so that every loss term counts. The function raises :class:`TrainingError` for a
    rejected step, whose time would leave the optimiser out.
    """
    model = Thinker(config.model).to(device)
    trainer = Trainer(model, make_optimizer(model, config.train), config)
    generator, images = torch.Generator().manual_seed(0), example(config.model, config.train.batch)
    if isinstance(config.input, ImageConfig):
        assert isinstance(images, torch.Tensor)
        images = torch.rand(images.shape, generator=generator)
    images = moved(images, device)
    labels = random_targets(config, generator).to(device)
    start, length = config.train.curriculum_start, config.train.curriculum_length
    assert start is not None
    assert length is not None

    def step() -> None:
        result = trainer.step(start + length, [(images, labels)] * config.train.accumulation)
        if not result.accepted:
            raise TrainingError("a timed step was rejected: its loss or gradient is not finite on random images")

    return trainer, step


def random_targets(config: Config, generator: torch.Generator) -> torch.Tensor:
    """Return targets of a micro-batch, (B, *S) int64."""
    output, batch = config.output, config.train.batch
    if output.emitted:
        return torch.randint(output.classes - 1, (batch, output.emitted), generator=generator)
    return torch.randint(output.classes, (batch, *output.positions), generator=generator)


def alternate(
    functions: Sequence[Callable[[], None]], rounds: int, device: torch.device, *, warmup: int = 0
) -> list[list[float]]:
    """Return the seconds that each function took in each of so many rounds, after ``warmup`` others.

    In a round all run in turn, so that a busy moment of the machine touches all alike.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for number in range(-warmup, rounds):
        for function, times in zip(functions, seconds, strict=True):
            began = time.perf_counter()
            function()
            synchronize(device)
            if number >= 0:
                times.append(time.perf_counter() - began)
    return seconds
