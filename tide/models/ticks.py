"""The loop over ticks: who watches it, the only eager loop, and the same ticks as native code."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tide.config import OutputConfig
from tide.models.cell import Cell, Context, ReadingContext, State
from tide.models.heads import arranged, certainty, read_answers
from tide.models.tide import TideCell, TideState
from tide.native.call import LoopStart, LoopWeights, Plan, gather_weights, make_plan
from tide.native.library import Library
from tide.native.loop import LoopOutcome, Panels, run_loop
from tide.nn import Batched, CrossAttention, LateralInhibition, NeuronModels, Synchrony, WilsonCowan
from tide.nn.dynamics import RATIO_EPSILON
from tide.types import Prediction

Step = Callable[[Any, Any], tuple[State, Any]]


C = TypeVar("C", bound=Context)
S = TypeVar("S", bound=State)


class Moment(NamedTuple, Generic[C, S]):
    """Where a model stands between two ticks: what is given, and what changes."""

    context: C
    state: S

    def rows(self, index: Tensor) -> Moment[C, S]:
        """Keep the samples that ``index`` names."""
        return Moment(self.context.rows(index), self.state.rows(index))

    def expand(self, count: int) -> Moment[C, S]:
        """Return ``count`` copies of the one sample that this holds."""
        return Moment(self.context.expand(count), self.state.expand(count))

    def changed(self, **fields: Any) -> Moment[C, S]:
        """Return the same with some fields of the state changed."""
        return Moment(self.context, self.state.replace(**fields))


AnyMoment = Moment[Any, Any]
TideMoment = Moment[ReadingContext, TideState]


class Observer(Protocol):
    """What the loop shows every tick to."""

    def observe(self, moment: AnyMoment, features: Any) -> AnyMoment | None:
        """See where the model stands after a tick, and what the tick computed; return what goes on, None to stop."""
        ...


def begin(cell: Cell, x: Tensor) -> AnyMoment:
    """Return where a cell stands before its first tick on tokens (B, N, d_kv) or a drive (B, d)."""
    return Moment(cell.context(x), cell.initial(len(x)))


def run_ticks(step: Step, moment: AnyMoment, observer: Observer, ticks: int) -> AnyMoment | None:
    """The only eager loop over ticks. The observer sees each and returns what goes on, None to stop."""
    for _ in range(ticks):
        state, features = step(moment.context, moment.state)
        following = observer.observe(Moment(moment.context, state), features)
        if following is None:
            return None
        moment = following
    return moment


class Collector:
    """Keeps named quantities of every tick and all features of the last."""

    def __init__(self, cell: Cell, record: Iterable[str]) -> None:
        self.recorded = tuple(record)
        of_ticks = cell.of_ticks()
        names = (*cell.used_by("readout", "dynamics"), *(name for name in self.recorded if name in of_ticks))
        self._cell = cell
        self._kept: dict[str, list[Tensor]] = {name: [] for name in names}
        self._stretches: list[Mapping[str, Tensor]] = []
        self.last: Any = None

    def observe(self, moment: AnyMoment, features: Any) -> AnyMoment:
        """Keep one tick; everything goes on unchanged."""
        for name, values in self._kept.items():
            values.append(self._cell.observe(name, features))
        self.last = features
        return moment

    def take(self, observed: Mapping[str, Tensor], last: Any) -> None:
        """Keep ticks computed together: quantities (B, ticks, ...), and ``last``, what the last one computed."""
        self._stretches.append(observed)
        self.last = last

    def empty(self) -> Collector:
        """Return another that keeps the same and has seen nothing."""
        return Collector(self._cell, self.recorded)

    def extend(self, later: Collector) -> None:
        """Take over what another one saw of the ticks that follow."""
        for name, values in later._kept.items():
            self._kept[name].extend(values)
        self._stretches.extend(later._stretches)
        self.last = later.last

    def stacked(self) -> Mapping[str, Tensor]:
        """Return each kept quantity as (B, T, ...)."""
        if len(self._stretches) == 1:
            return {name: self._stretches[0][name] for name in self._kept}
        if self._stretches:
            return {name: torch.cat([stretch[name] for stretch in self._stretches], 1) for name in self._kept}
        return {name: torch.stack(values, 1) for name, values in self._kept.items()}


class Halter:
    """Reads out every tick and lets a sample go once its certainty reaches the threshold.

    Samples that are done leave the state, so later ticks do not compute them. A sample that never gets there is
    answered at its most certain tick, as without halting. Ticks before ``first`` are no answers.
    """

    recorded: tuple[str, ...] = ()  # beyond what the read-out needs

    def __init__(
        self, cell: Cell, output: OutputConfig, threshold: float, first: int = 0, carry: Batched | None = None
    ) -> None:
        """``carry`` is that of the state in which the ticks begin."""
        self._cell, self._output, self._threshold, self._before, self._carry = cell, output, threshold, first, carry
        self._emitting: Tensor | None = None  # logits so far of those thinking, where a list is emitted over the ticks
        self._alive: Tensor | None = None  # positions in the batch of the samples still thinking
        # Logits (of an emitted list, its symbols), certainty and ticks of the whole batch.
        self._best: tuple[Tensor, Tensor, Tensor] | None = None

    def observe(self, moment: AnyMoment, features: Any) -> AnyMoment | None:
        """Read out one tick; return the samples that go on, or None when all are done."""
        tick = {name: self._cell.observe(name, features)[:, None] for name in self._cell.used_by("readout")}
        keep = self.read(tick)
        if len(keep) == 0:
            return None
        if len(keep) == len(next(iter(tick.values()))):
            return moment
        return Moment(moment.context.rows(keep), moment.state.rows(keep))

    def read(self, ticks: Mapping[str, Tensor]) -> Tensor:
        """Read out ticks from what the read-out needs, (B, ticks, ...); return which samples go on, (kept,)."""
        reading = self._cell.readout(ticks, self._carry)
        answers, sure = self._answers(arranged(reading.logits, self._output))
        keep = torch.arange(len(sure), device=sure.device)
        alive = keep if self._alive is None else self._alive
        for tick in range(sure.shape[1]):
            if self._before > 0:
                self._before -= 1
                continue
            self._note(alive, answers[keep][..., tick], sure[keep, tick])
            on = (sure[keep, tick] < self._threshold).nonzero().squeeze(1)
            if len(on) < len(keep):
                keep, alive = keep[on], alive[on]
        self._alive = alive
        self._carry = reading.carry
        if len(keep) < len(sure) and self._carry is not None:
            self._carry = self._carry.rows(keep)
        if len(keep) < len(sure) and self._emitting is not None:
            self._emitting = self._emitting[keep]
        return keep

    def _answers(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is to be noted of some ticks, (B, ..., ticks), and how certain it is, (B, ticks)."""
        if not self._output.emitted:
            return logits, certainty(logits)
        self._emitting = logits if self._emitting is None else torch.cat((self._emitting, logits), -1)
        answer = read_answers(self._emitting, certainty(self._emitting), self._output)
        return answer.classes[..., -logits.shape[-1] :], answer.certainty[:, -logits.shape[-1] :]

    def _note(self, alive: Tensor, answers: Tensor, sure: Tensor) -> None:
        """Keep the more certain of the answers (alive, ...) at a tick and at those before."""
        if self._best is None:
            self._best = (answers.clone(), sure.clone(), torch.ones_like(alive))
            return
        better = sure > self._best[1][alive]
        self._best[0][alive[better]] = answers[better]
        self._best[1][alive[better]] = sure[better]
        self._best[2][alive] += 1

    def prediction(self) -> Prediction:
        """Return the answers for the whole batch, in its order."""
        assert self._best is not None
        answers, sure, ticks = self._best
        if self._output.emitted:
            return Prediction(answers, sure, ticks, None)
        return Prediction(answers.argmax(1), sure, ticks, torch.softmax(answers, 1))


class LastTick(NamedTuple):
    """What losses read of the last tick, (B, D) each, as in :class:`tide.models.tide.TideFeatures`."""

    rates: Tensor
    activation: Tensor
    drive: Tensor


AHEAD = 4  # halting runs at most so many ticks before it looks at the certainty: one for every so many that are done

OBSERVED = ("latent", "ei_ratio", "sync_power", "lateral_iterations")  # what the loop returns of every tick

PARTS: dict[str, type[nn.Module]] = {
    "attention": CrossAttention,
    "wilson_cowan": WilsonCowan,
    "lateral": LateralInhibition,
    "neuron_models": NeuronModels,
    "synchronisation": Synchrony,
}


def is_as_written(cell: Cell, like: Tensor) -> bool:
    """Whether a tick of ``cell`` is TIDE's own, on the device and in the type of ``like``.

    It is not where a part is replaced, overridden or watched by a hook.
    """
    if type(cell) is not TideCell or _is_changed(cell):
        return False
    if any(p.dtype != like.dtype or p.device != like.device for p in cell.parameters()):
        return False
    for name, kind in PARTS.items():
        part: nn.Module | None = getattr(cell, name)
        if part is None:
            continue
        if type(part) is not kind or any(_is_changed(module) for module in part.modules()):
            return False
    return True


OWN = ("tide.nn.", "torch.nn.modules.")  # whose modules the native loop knows; a quantised Linear is elsewhere


def _is_changed(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    kind: Any = type(module)
    known = type(module) is TideCell or kind.__module__.startswith(OWN)
    return bool(hooks) or not known or not _methods(kind).isdisjoint(vars(module))


@cache
def _methods(kind: Any) -> frozenset[str]:
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name)))


NEAR, NEAR_SLOPES = 1e-3, 1e-2  # relative, by norm: a hundred times what rounding and the kink of ReLU make of it

_DIFFERENCES: dict[str, str | None] = {}


def difference(cell: TideCell, library: Library) -> str | None:
    """Return what native ticks of ``cell`` compute otherwise than eager ones, None where all is alike.

    Asked once per configuration and process, at the first thought, so that an edited equation never goes unnoticed: a
    copy of the cell thinks for a few ticks about a tiny batch, forward and backward. The first answer that is not None
    is told in a warning, too.
    """
    core = repr(cell.config)
    if core not in _DIFFERENCES:
        with torch.inference_mode(False), torch.enable_grad():
            # By hand, since copying refuses what was computed: weights that another function handed to the model.
            weights: dict[int, Any] = {id(p): nn.Parameter(p.detach().clone()) for p in cell.parameters()}
            _DIFFERENCES[core] = differing = _difference(copy.deepcopy(cell, weights), library)
        if differing is not None:
            warnings.warn(f"{differing}; the eager loop runs, more slowly (docs/native.md)", stacklevel=2)
    return _DIFFERENCES[core]


def _difference(cell: TideCell, library: Library) -> str | None:
    """Compare both loops on a cell of which nobody else knows; whoever watches saved tensors sees none of it."""
    assert cell.attention is not None
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 2, cell.attention.key.in_features, generator=generator)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        for training in (True, False):
            native, eager = (_thought(cell.train(training), tokens, loop) for loop in (library, None))
            if (worst := _farthest(native, eager, NEAR)) is not None:
                return f"the native loop computes another {worst} than the model"
            if training:
                worst = _farthest(_slopes(cell, native), _slopes(cell, eager), NEAR_SLOPES)
                if worst is not None:
                    return f"the native loop computes another gradient of {worst} than the model"
    return None


def _thought(cell: TideCell, tokens: Tensor, library: Library | None) -> dict[str, Tensor]:
    """Return what three ticks give to the read-out, to losses and to the next tick."""
    collector, moment = Collector(cell, ()), begin(cell, tokens)
    if library is not None:
        end: AnyMoment | None = run_native(library, cell, moment, collector, 3)
    else:
        end = run_ticks(cell.step, moment, collector, 3)
    assert end is not None
    state, last = end.state, collector.last
    after = {"history": state.history, "synchrony": state.synchrony.products, "next rates": state.rates}
    of_last = {name: getattr(last, name) for name in LastTick._fields}
    named = {**of_last, **after, **collector.stacked()}
    # Whether an iteration less is taken where the tolerance is met may depend on rounding.
    return {name: value for name, value in named.items() if cell.training or name != "lateral_iterations"}


def _slopes(cell: TideCell, thought: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradients of a random sum of everything, by parameter."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(())
    for name in sorted(thought):
        value = thought[name]
        if value.requires_grad:
            total = total + (torch.randn(value.shape, generator=generator) * value).mean()
    named = dict(cell.named_parameters())
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {name: slope for name, slope in zip(named, found, strict=True) if slope is not None}


def _farthest(native: Mapping[str, Tensor], eager: Mapping[str, Tensor], within: float) -> str | None:
    """Return the name of what differs most, None where everything lies within rounding of its own size.

    What is far smaller than the rest is rounding itself; where numbers are not finite, both must have none.
    """
    if missing := sorted(native.keys() ^ eager.keys()):
        return missing[0]
    sizes = {name: float(value.detach().norm()) for name, value in eager.items()}
    floor = 1e-4 * max((size for size in sizes.values() if math.isfinite(size)), default=0.0)
    errors = {}
    for name, expected in eager.items():
        error, size = float((native[name] - expected).detach().norm()), max(sizes[name], floor)
        if not math.isfinite(error):
            error = 0.0 if torch.equal(native[name].isfinite(), expected.isfinite()) else math.inf
        errors[name] = error / size if error and math.isfinite(size) else error
    worst = max(errors, key=lambda name: errors[name])
    return worst if errors[worst] > within else None


def starts_together(state: State) -> bool:
    """Whether all samples began at the same tick: the native loop has one 1/√N of a tick for all of them."""
    return not isinstance(state, TideState) or state.synchrony.normalizer.shape[0] == 1


def run_native(
    library: Library, cell: TideCell, moment: TideMoment, observer: Collector | Halter, ticks: int
) -> TideMoment | None:
    """Run ticks and show them to the observer; return where they end, None where nobody goes on."""
    context, state = moment
    if isinstance(observer, Halter):
        _halt(library, cell, moment, observer, ticks)
        return None  # nothing follows the last tick of a halter
    scale, normalizer = _scales(context, state, ticks)
    outcome = run_loop(library, _plan(cell), _weights(cell, context), _start(cell, context, state, scale))
    dynamics = context.weights.dynamics
    last = LastTick(
        rates=outcome.euler,
        activation=torch.relu(outcome.preactivation),
        drive=torch.addmm(dynamics.bias, outcome.attended, dynamics.input),
    )
    observer.take(_observed(cell, outcome), last)
    following = TideState(
        rates=outcome.rates,
        history=outcome.history if cell.neuron_models is not None else state.history,
        synchrony=state.synchrony.replace(products=outcome.products, normalizer=normalizer),
        latent=outcome.latent[:, -1],
        carry=state.carry,
    )
    return Moment(context, following)


def _halt(library: Library, cell: TideCell, moment: TideMoment, halter: Halter, ticks: int) -> None:
    """Run some ticks, read them out, let go whoever has its answer, and so on."""
    context, state = moment
    scale, _ = _scales(context, state, ticks)
    panels = Panels(library, _plan(cell), _weights(cell, context), _start(cell, context, state, scale))
    done = 0
    while done < ticks:
        # Together, ticks cost less than one by one; whoever finds an answer on the way has run a few too many.
        stretch = min(max(1, min(AHEAD, done // AHEAD)), ticks - done)
        outcome = panels.advance(stretch)
        done += stretch
        keep = halter.read(_observed(cell, outcome))
        if len(keep) == 0:
            return
        if len(keep) < len(outcome.latent):
            panels.keep(keep)


def _plan(cell: TideCell) -> Plan:
    assert cell.attention is not None
    return make_plan(
        cell.wilson_cowan,
        cell.attention,
        cell.lateral,
        cell.synchronisation,
        feedback=cell.config.neuron_models.feedback,
    )


def _weights(cell: TideCell, context: ReadingContext) -> LoopWeights:
    weights = context.weights
    assert cell.attention is not None
    return gather_weights(
        cell.attention,
        weights.dynamics,
        weights.lateral,
        weights.neuron_models,
        cell.synchronisation,
        weights.retention,
    )


def _start(cell: TideCell, context: ReadingContext, state: TideState, scale: Tensor) -> LoopStart:
    history = state.history if cell.neuron_models is not None else state.history.new_empty(0)
    return LoopStart(context.keys, context.values, state.rates, history, state.synchrony.products, state.latent, scale)


def _scales(context: ReadingContext, state: TideState, ticks: int) -> tuple[Tensor, Tensor]:
    """Return 1/√N of each tick, (T, P), and N after the last, (1, P)."""
    normalizer, retention = state.synchrony.normalizer, context.weights.retention
    scale, ones = [], torch.ones_like(retention)
    for _ in range(ticks):
        normalizer = torch.addcmul(ones, normalizer, retention)
        scale.append(normalizer.rsqrt())
    return torch.cat(scale), normalizer


def _observed(cell: TideCell, outcome: LoopOutcome) -> dict[str, Tensor]:
    """Return what the read-out needs, stacked over ticks."""
    core = cell.config
    sums_e, sums_i = outcome.sums.unbind(-1)
    if core.ratio_normalization == "per_neuron":
        sums_e, sums_i = sums_e / core.n_e, sums_i / core.n_i
    return {
        "latent": outcome.latent,
        "ei_ratio": sums_e / (sums_i + RATIO_EPSILON),
        "sync_power": outcome.power,
        "lateral_iterations": outcome.iterations,
    }
