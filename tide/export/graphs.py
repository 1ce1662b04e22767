"""A model as three functions of plain tensors: begin, one tick, and the read-out of one tick."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.config import FeatureMapConfig, ModelConfig, OutputConfig, SequenceConfig
from tide.errors import InputError
from tide.models.cell import Cell
from tide.models.heads import arranged, certainty
from tide.models.inputs import example, input_kind
from tide.models.thinker import Thinker
from tide.models.ticks import AnyMoment, Moment, TideMoment
from tide.models.tide import TickWeights, TideCell
from tide.nn import Batched

# Nested named tuples of tensors as flat mappings of named tensors, and back.


def leaves(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of nested named tuples and states by path: ``synchrony.products`` is ``synchrony_products``.

    None holds none; the elements of a plain tuple are called by number.
    """
    if isinstance(value, Tensor):
        return {name: value}
    found: dict[str, Tensor] = {}
    for key, part in _parts(value):
        found |= leaves(part, f"{name}_{key}" if name else key)
    return found


def rebuilt(like: Any, values: Mapping[str, Tensor], name: str = "") -> Any:
    """Return ``like`` with the tensors that ``values`` names by path; the others stay as they are."""
    if isinstance(like, Tensor):
        return values.get(name, like)
    if like is None:
        return None
    parts = {key: rebuilt(part, values, f"{name}_{key}" if name else key) for key, part in _parts(like)}
    if isinstance(like, Batched):
        return type(like)(**parts)
    return type(like)(*parts.values()) if hasattr(like, "_fields") else tuple(parts.values())


def _parts(value: Any) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if isinstance(value, Batched):
        return list(vars(value).items())
    names = getattr(value, "_fields", None) or [str(number) for number in range(len(value))]
    return list(zip(names, value, strict=True))


# A backbone as exported graphs want it: the same function of the images, in fewer and more common operators.


class AverageGrid(nn.Module):
    """``nn.AdaptiveAvgPool2d`` for images of one size: a matrix of averages on either side.

    ONNX has no operator for windows of unequal size, so the pooling itself would become hundreds of small ones.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: torch.Size, grid: int) -> None:
        super().__init__()
        self.register_buffer("rows", averages(size[0], grid))
        self.register_buffer("columns", averages(size[1], grid).t().contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, *size) to (B, channels, grid, grid)."""
        return self.rows @ images @ self.columns


def averages(size: int, grid: int) -> Tensor:
    """Return the matrix (grid, size) whose rows average the windows of adaptive pooling."""
    return F.adaptive_avg_pool1d(torch.eye(size), grid).t().contiguous()


class Affine(nn.Module):
    """``nn.BatchNorm2d`` in eval mode: y = a x + b per channel.

    Exporters multiply a BatchNorm into the convolution before it; so the convolution's weights stay what they are.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise InputError(
                "a BatchNorm must have running statistics to be exported, got one without; train with them"
            )
        scale = torch.rsqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else norm.weight * scale
        shift = -norm.running_mean * scale
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", (shift if norm.bias is None else norm.bias + shift)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, H, W)."""
        return images * self.scale + self.shift


@torch.no_grad()
def exportable(backbone: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of ``backbone`` for images of the size of ``images`` (B, channels, H, W)."""
    sizes: dict[nn.Module, torch.Size] = {}
    pools = [module for module in backbone.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    hooks = [
        pool.register_forward_pre_hook(lambda module, inputs: sizes.update({module: inputs[0].shape[2:]}))
        for pool in pools
    ]
    backbone(images)
    for hook in hooks:
        hook.remove()
    return _replaced(copy.deepcopy(backbone), backbone, sizes)


def _replaced(module: nn.Module, original: nn.Module, sizes: dict[nn.Module, torch.Size]) -> nn.Module:
    if isinstance(original, nn.BatchNorm2d):
        return Affine(original)
    if isinstance(original, nn.AdaptiveAvgPool2d):
        grid = original.output_size
        assert isinstance(grid, int)  # as our backbones have it
        return AverageGrid(sizes[original], grid)
    for name, child in original.named_children():
        setattr(module, name, _replaced(getattr(module, name), child, sizes))
    return module


# What an exported model takes, and what it gives: the name of its input, an example of it, and both in words.


def input_name(config: ModelConfig) -> str:
    """Return what the graphs call the input, ``images`` or ``sequence``; raises :class:`InputError` for a schedule."""
    if input_kind(config).in_parts:
        raise InputError(
            f"the model must take images or a sequence, got a {config.input.kind}; a graph reads one thing"
        )
    return "sequence" if isinstance(config.input, SequenceConfig) else "images"


def example_of(config: ModelConfig, batch: int) -> Tensor:
    """Return inputs as the graphs take them; raises as :func:`input_name`."""
    if input_name(config) == "images":
        settings, backbone = config.images, config.backbone
        channels = backbone.features if isinstance(backbone, FeatureMapConfig) else settings.channels
        return torch.rand(batch, channels, settings.size, settings.size)
    values = example(config, batch)
    assert isinstance(values, Tensor)
    return values


def described(config: ModelConfig) -> dict[str, Any]:
    """Return the input and the answer as ``model.json`` holds them; raises as :func:`input_name`."""
    name, output = input_name(config), config.output
    if isinstance(config.input, SequenceConfig):
        shape: dict[str, Any] = {"length": config.input.length, "alphabet": list(config.input.alphabet)}
    else:
        shape = {"channels": config.images.channels, "size": config.images.size}
    return {
        "input": name,
        **shape,
        "labels": [output.label(c) for c in range(output.classes)],
        "positions": list(output.positions),
        "emitted": output.emitted,
    }


# Interventions while a network thinks: neurons silenced, inhibition of E made weaker or stronger.
#
# Nothing of the tick changes: an intervention is another state before the first tick, and another set of composed
# weights for every tick. So the loop over ticks takes it as it is, in torch and in an exported graph.


def silenced_start(cell: TideCell, moment: TideMoment, active: Tensor) -> TideMoment:
    """Return where the first tick begins with silenced neurons at rate zero.

    ``active`` (D,) is 1 for a neuron that takes part and 0 for one that is silenced. Weights are left as they are:
    :func:`intervened` changes those.
    """
    rates = moment.state.rates * active
    synchrony = cell.synchronisation.initial(rates)
    _, latent = cell.synchronisation.read(synchrony)
    return moment.changed(rates=rates, synchrony=synchrony, latent=latent)


def intervened(cell: TideCell, weights: TickWeights, active: Tensor, inhibition: Tensor) -> TickWeights:
    """Return the weights of a tick under an intervention.

    ``active`` (D,) as above: a silenced neuron has gain and offset zero, hence φ(h) = 0, and no correction by its
    neuron-level model. ``inhibition`` () is a factor on all that inhibits excitatory neurons: W_EI and the strength γ
    of the lateral inhibition. Both are without effect at ones. :func:`check_silencing` says whether a cell allows it.
    """
    n_e, recurrent = cell.config.n_e, weights.dynamics.recurrent  # row = source neuron
    from_i = torch.cat((recurrent[n_e:, :n_e] * inhibition, recurrent[n_e:, n_e:]), 1)
    dynamics = weights.dynamics._replace(
        recurrent=torch.cat((recurrent[:n_e], from_i)),
        gain=weights.dynamics.gain * active,
        offset=weights.dynamics.offset * active if weights.dynamics.offset is not None else None,
    )
    models = weights.neuron_models
    if models is not None:
        kept = active[:, None, None]
        models = models._replace(second=models.second * kept, second_bias=models.second_bias * kept)
    lateral = weights.lateral._replace(inhibit=weights.lateral.inhibit * inhibition)
    return weights._replace(dynamics=dynamics, lateral=lateral, neuron_models=models)


def check_silencing(cell: TideCell) -> None:
    """Raise :class:`InputError` where a gain of zero silences nobody: softplus(0) is not 0."""
    rate = _rate_at_zero(cell)
    if rate != 0:
        raise InputError(
            f"a neuron's rate must be 0 at gain 0 to be silenced, got {rate:.3g} with core.activation "
            f"{cell.config.activation}; without input it still fires"
        )


@torch.no_grad()
def _rate_at_zero(cell: TideCell) -> float:
    """Return the highest rate that one step from rest gives where all gains and offsets are 0."""
    core = cell.wilson_cowan
    weights = core.compose()
    none = torch.zeros_like(weights.gain)
    weights = weights._replace(gain=none, offset=none if weights.offset is not None else None)
    return float(core(none[None], none.new_zeros(1, cell.inputs), weights).rates.abs().max())


# A model as three functions of plain tensors: begin, one tick, and the read-out of one tick.
#
# ::
#
#     begin:  images or sequence    -> state_..., carry_... of the read-out
#     tick:   state_...             -> next_state_..., every recordable quantity of this tick
#     read:   quantities, carry_... -> logits, certainty, its own quantities, next_carry_...
#
# The loop over ticks stays outside, so that any number of ticks can run and a sample can stop whenever it is certain.


STATE, CARRY, NEXT = "state", "carry", "next_"


@dataclass(frozen=True)
class Graph:
    """One of the three: a module, an example of its inputs (batch 2), the names of inputs and outputs.

    ``batched`` gives, for each input that has one, the dimension of the batch.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    batched: dict[str, int]

    def __call__(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Run it in torch."""
        with torch.no_grad():
            return dict(zip(self.outputs, self.module(*(inputs[name] for name in self.inputs)), strict=True))


class Begin(nn.Module):
    """Images (B, channels, H, W) in [0, 1], or sequences (B, length), to the states before the first tick."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: Thinker, shown: Tensor) -> None:
        super().__init__()
        self.backbone, self.cell = exportable(model.backbone, shown), model.cell
        self.kind = model.kind
        # Not "mean": the exporter has that name for what it folds of a backbone's positions.
        self.register_buffer("pixel_mean", model.mean)
        self.register_buffer("pixel_std", model.std)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of :func:`_start`, in order."""
        shown, *active = inputs
        normalised = self.kind.normalise(shown, self.pixel_mean, self.pixel_std)
        moment: AnyMoment = Moment(self.cell.context(self.backbone(normalised)), self.cell.initial(shown.shape[0]))
        if active:
            moment = silenced_start(_tide(self.cell), moment, *active)
        return tuple(_start(moment).values())


class Tick(nn.Module):
    """State to state; ``weights`` are composed once, when the model is exported."""

    def __init__(self, model: Thinker, moment: AnyMoment, changed: tuple[str, ...]) -> None:
        super().__init__()
        self.cell, self.like, self.changed = model.cell, moment, changed
        self.names = tuple(_without_weights(moment))
        self.composed = moment.context.weights
        self.fields = {name: f"composed_{name}" for name in leaves(self.composed)}
        for name, value in leaves(self.composed).items():
            self.register_buffer(self.fields[name], value)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors that change, then what was observed."""
        given = dict(zip(self.names, inputs, strict=False))
        weights = rebuilt(self.composed, {name: getattr(self, own) for name, own in self.fields.items()})
        if len(inputs) > len(self.names):
            weights = intervened(_tide(self.cell), weights, *inputs[len(self.names) :])
        context, state = (rebuilt(part, given, STATE) for part in self.like)
        context = context.replace(weights=weights)
        following, features = self.cell.step(context, state)
        after = _without_weights(Moment(context, following))
        observed = (self.cell.observe(name, features) for name in self.cell.of_ticks())
        return (*(after[name] for name in self.changed), *observed)


class Read(nn.Module):
    """Quantities of one tick, and what earlier read-outs kept, to logits (B, C, *S) and certainty (B,)."""

    def __init__(self, model: Thinker, carry: Any) -> None:
        super().__init__()
        self.cell, self.like = model.cell, carry
        self.output: OutputConfig = model.config.output

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return logits, certainty, what the read-out observes, and what it keeps."""
        needed = self.cell.used_by("readout")
        observed = {name: value[:, None] for name, value in zip(needed, inputs, strict=False)}
        names = leaves(self.like, CARRY)
        carry = rebuilt(self.like, dict(zip(names, inputs[len(needed) :], strict=True)), CARRY)
        reading = self.cell.readout(observed, carry)
        added = (reading.observed[name][:, 0] for name in self.cell.of_readout())
        kept = leaves(reading.carry, CARRY).values()
        logits = arranged(reading.logits, self.output)
        return (logits[..., 0], certainty(logits)[:, 0], *added, *kept)


def graphs(model: Thinker, *, interventions: bool = False) -> dict[str, Graph]:
    """Return ``begin``, ``tick`` and ``read`` of ``model``, which is put into eval mode.

    With ``interventions`` the first two take ``active`` (D,) and the second ``inhibition`` ()
    (:func:`intervened`). Raises :class:`InputError` where a model has no such interventions.
    """
    model.eval()
    if interventions:
        check_silencing(_tide(model.cell))
    with torch.no_grad():
        return _graphs(model, interventions)


def can_intervene(model: Thinker) -> bool:
    """Say whether :func:`graphs` takes interventions for this model."""
    return isinstance(model.cell, TideCell) and _rate_at_zero(model.cell) == 0


def _graphs(model: Thinker, interventions: bool) -> dict[str, Graph]:
    cell, name, shown = model.cell, input_name(model.config), example_of(model.config, 2)
    moment = model.begin(shown)
    carry = moment.state.carry
    if not hasattr(moment.context, "weights"):
        raise InputError(
            f"the context of core {model.config.core.kind} must have weights, composed once, to be exported"
        )
    start, single = _start(moment), _start(model.begin(shown[:1]))
    following, features = cell.step(*moment)
    before, after = _without_weights(moment), _without_weights(Moment(moment.context, following))
    changed = tuple(name for name in before if after[name] is not before[name])
    needed = {name: cell.observe(name, features) for name in cell.used_by("readout")}
    kept = leaves(carry, CARRY)
    switches = {"active": torch.ones(model.config.core.neurons), "inhibition": torch.ones(())} if interventions else {}
    at_start = {switch: value for switch, value in switches.items() if switch == "active"}
    return {
        "begin": Graph(Begin(model, shown), {name: shown, **at_start}, tuple(start), {name: 0}),
        "tick": Graph(
            Tick(model, moment, changed),
            before | switches,
            (*(f"{NEXT}{name}" for name in changed), *cell.of_ticks()),
            {name: dimension for name in before for dimension in _batch_dimension(start[name], single[name])},
        ),
        "read": Graph(
            Read(model, carry),
            needed | kept,
            ("logits", "certainty", *cell.of_readout(), *(f"{NEXT}{name}" for name in kept)),
            dict.fromkeys((*needed, *kept), 0),
        ),
    }


def _start(moment: AnyMoment) -> dict[str, Tensor]:
    return _without_weights(moment) | leaves(moment.state.carry, CARRY)


def _without_weights(moment: AnyMoment) -> dict[str, Tensor]:
    """Return the tensors that a tick reads, but for empty ones: the keys of a model that attends to nothing."""
    named = leaves(moment.context.replace(weights=None), STATE) | leaves(moment.state.replace(carry=None), STATE)
    return {name: value for name, value in named.items() if value.numel()}


def _tide(cell: Cell) -> TideCell:
    if not isinstance(cell, TideCell):
        raise InputError(f"the core must be a TideCell, got a {type(cell).__name__}; no other has two populations")
    return cell


def _batch_dimension(two: Tensor, one: Tensor) -> list[int]:
    """Return the dimension in which tensors of batches of two and of one differ, or none."""
    return [d for d, (a, b) in enumerate(zip(two.shape, one.shape, strict=True)) if a != b]


# The read-out of a whole thought at once: for whoever runs all ticks it costs a quarter of reading tick by tick.


class Whole(nn.Module):
    """Quantities stacked over all ticks, (B, T, ...) each, to logits (B, C, *S, T) and certainty (B, T)."""

    def __init__(self, model: Thinker) -> None:
        super().__init__()
        self.cell, self.output = model.cell, model.config.output

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and certainty."""
        reading = self.cell.readout(dict(zip(self.cell.used_by("readout"), inputs, strict=True)))
        logits = arranged(reading.logits, self.output)
        return logits, certainty(logits)


def whole(model: Thinker) -> Graph:
    """Return the read-out of as many ticks as the model has; raises as :func:`~tide.export.graphs.graphs` does."""
    with torch.no_grad():
        out = model.eval()(example_of(model.config, 2), record=model.cell.used_by("readout"))
    inputs = {name: out.trace[name] for name in model.cell.used_by("readout")}
    return Graph(Whole(model), inputs, ("logits", "certainty"), dict.fromkeys(inputs, 0))
