"""The baselines' reference implementation: its configurations and weights as models of this library.

Reference: SakanaAI/continuous-thought-machines, Darlow et al., arXiv:2505.05522. :data:`FAMILIES` says what the
arguments of its constructors are called here, :data:`TASKS` what they say of input and output;
:func:`from_reference_config` builds a model from them, which loads and returns weights by their names there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from tide.backbones.images import BLOCKS_OF
from tide.config import (
    BackboneSettings,
    CoreSettings,
    CTMConfig,
    FeatureMapConfig,
    ImageConfig,
    InputSettings,
    LSTMConfig,
    ModelConfig,
    OutputConfig,
    PlacesConfig,
    QuestionsConfig,
    ResNetTrunkConfig,
    ScheduleConfig,
    SequenceConfig,
    SymbolsConfig,
    VectorConfig,
    VectorsConfig,
    ViewConfig,
)
from tide.errors import CheckpointError, ConfigError, did_you_mean
from tide.models.thinker import Thinker
from tide.nn.ctm import every_pair

Arguments = Mapping[str, Any]


class ReferenceModel(Thinker):
    """A baseline that exchanges weights with the reference implementation."""

    cell: Any

    def load_reference_state_dict(self, mapping: Mapping[str, Any]) -> Self:
        """Load the reference's parameters and buffers (tensors or arrays) by its names; returns the model.

        Without a backbone the width of the feature map comes with the weights: the reference's configuration does not
        name it. Decays are brought into [0, 15], as the reference does in its forward pass. Raises
        :class:`CheckpointError` where names are missing or left over, or shapes differ; the model is then as it was.
        """
        weights = _tensors(mapping)
        self._check_reference(weights)
        if self._free_features():
            self._fit_features_(weights["kv_proj.0.weight"].shape[1])
        with torch.no_grad():
            for theirs, tensor in self._shared().items():
                tensor.copy_(weights[theirs].reshape(tensor.shape))
            for use in self._uses():
                if self.cell.config.window:
                    continue  # always the last neurons
                left, right = (weights[f"{use}_neuron_indices_{side}"].long() for side in ("left", "right"))
                if self.cell.config.selection != "random-pairing":
                    left, right = every_pair(left, right)
                pairs = self.cell.get_submodule(f"synchrony_{use}")
                pairs.left.copy_(left)
                pairs.right.copy_(right)
        self.project_()
        return self

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name."""
        return dict(cell_names(self.config))

    def reference_tensors(self) -> dict[str, Tensor]:
        """Return parameters and the backbone's buffers (running statistics, embeddings) by the reference's name.

        In the reference's shape; the pairs of neurons are not among them.
        """
        return {name: self._as_there(name, tensor.detach()) for name, tensor in self._shared().items()}

    def reference_gradients(self) -> dict[str, Tensor]:
        """Return the gradient of every parameter that has one, by the reference's name and in its shape."""
        shared = self._shared().items()
        return {name: self._as_there(name, tensor.grad) for name, tensor in shared if tensor.grad is not None}

    def reference_buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each index buffer of the reference."""
        core, sides, prefix = self.cell.config, ("left", "right"), AGENT * (self.critic is not None)
        shapes: dict[str, tuple[int, ...]] = {
            f"{prefix}{use}_neuron_indices_{side}": (getattr(core, f"synchrony_{use}"),)
            for use in self._uses()
            for side in sides
        }
        if shapes and prefix:
            shapes[f"{AGENT}diagonal_mask_out"] = (core.synchrony_out,) * 2
        return shapes

    def _uses(self) -> tuple[str, ...]:
        """What the synchrony of pairs of neurons is used for."""
        pairs = {"action": "synchrony_action", "out": "synchrony_out"}
        return tuple(use for use, part in pairs.items() if getattr(self.cell, part, None) is not None)

    def _as_there(self, name: str, tensor: Tensor) -> Tensor:
        # A single LSTM cell has no dimension of layers.
        start = name.removeprefix(AGENT) in START.values()
        return tensor[0] if start and single_lstm(self.config) else tensor

    def _shared(self) -> dict[str, Tensor]:
        """Return the parameters and the backbone's buffers by the reference's name."""
        backbone = self.backbone.state_dict(keep_vars=True)
        own = {} if self.critic is None else _modules(ACTOR_AND_CRITIC)
        return {
            **{theirs: self.cell.get_parameter(ours) for ours, theirs in cell_names(self.config)},
            **{theirs: backbone[ours] for ours, theirs in backbone_names(self.config.backbone)},
            **{theirs: self.get_parameter(ours) for ours, theirs in own},
        }

    def _check_reference(self, weights: Mapping[str, Tensor]) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in self.reference_tensors().items()}
        shapes |= self.reference_buffer_shapes()
        missing, extra = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
        if missing or extra:
            first = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is unknown"
            raise CheckpointError(
                f"the weights must be this configuration's: {first} ({len(missing)} missing, {len(extra)} unknown); "
                "build the model with from_reference_config from the configuration they were trained with"
            )
        neurons = self.config.core.neurons
        for name, shape in shapes.items():
            tensor = weights[name]
            if name == "kv_proj.0.weight" and self._free_features() and tensor.dim() == 2:
                shape = shape[0], tensor.shape[1]
            if tensor.shape != shape:
                raise CheckpointError(f"{name} must have shape {shape} here, got {tuple(tensor.shape)}")
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise CheckpointError(f"{name} must be finite, got NaN or infinity; the weights are damaged")
            if "indices" in name and not bool(((tensor >= 0) & (tensor < neurons)).all()):
                raise CheckpointError(f"{name} must be 0 to {neurons - 1}, got {tensor.min()} to {tensor.max()}")

    def _free_features(self) -> bool:
        """Whether the input is a feature map, of any width."""
        return isinstance(self.config.backbone, FeatureMapConfig) and self.config.core.attends

    def _fit_features_(self, width: int) -> None:
        """Make room for feature maps of another width."""
        linear, backbone = self.cell.attention.tokens, self.config.backbone
        if isinstance(backbone, FeatureMapConfig) and linear.in_features != width:
            # Not drawn from the global generator: the weights are about to be replaced.
            wider = nn.Linear(width, linear.out_features, device="meta").to_empty(device=linear.weight.device)
            self.cell.attention.tokens = wider.to(linear.weight.dtype)
            self.config = replace(self.config, backbone=replace(backbone, features=width))


class CTM(ReferenceModel):
    """A Continuous Thought Machine; see :class:`~tide.models.thinker.Thinker` for its use."""


class LSTM(ReferenceModel):
    """The LSTM baseline; see :class:`~tide.models.thinker.Thinker` for its use."""


# The arguments of the reference's constructors.


class Family(NamedTuple):
    """A model of the reference: arguments with and without a default, by our setting; those with one value here."""

    model: type[ReferenceModel]
    core: type[CoreSettings]
    required: dict[str, str]
    optional: dict[str, str]
    fixed: Arguments


SHARED = {"d_model": "neurons", "d_input": "attention_width", "heads": "heads"}
FAMILIES: Mapping[str, Family] = {
    "ctm": Family(
        CTM,
        CTMConfig,
        SHARED
        | {
            "n_synch_out": "synchrony_out",
            "n_synch_action": "synchrony_action",
            "synapse_depth": "synapse_depth",
            "memory_length": "memory_length",
            "deep_nlms": "deep",
            "memory_hidden_dims": "hidden",
            "do_layernorm_nlm": "neuron_norm",
        },
        {
            "dropout": "dropout",
            "dropout_nlm": "neuron_dropout",
            "neuron_select_type": "selection",
            "n_random_pairing_self": "self_pairs",
        },
        {"use_thought_attention": False, "use_static_thought_trace": False},
    ),
    "lstm": Family(LSTM, LSTMConfig, SHARED | {"num_layers": "layers"}, {"dropout": "dropout"}, {}),
}


OBSERVED = {"CartPole-v1": 4, "Acrobot-v1": 6}
"""Numbers of an observation in each environment; what is hidden is zero."""
HIDDEN = 64  # units of actor and critic


class Sections(NamedTuple):
    """The sections of a model's configuration but its core."""

    input: InputSettings
    output: OutputConfig
    backbone: BackboneSettings


class ReferenceTask(NamedTuple):
    """What a task makes of the arguments of the reference's constructor.

    ``fixed`` arguments have one value that is built here. ``further`` ones have to be given, beside those of every
    task; ``optional`` ones may be, some of which say how the loss is taken and nothing of the model. ``ticks`` names
    the argument that gives these; ``core`` has settings of a family's core that the task decides, and ``without`` the
    arguments that this family then does not have.
    """

    sections: Callable[[Arguments], Sections]
    fixed: Arguments
    further: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ticks: str = "iterations"
    core: Mapping[str, dict[str, Any]] = {}
    without: tuple[str, ...] = ()


def _tensors(mapping: Any) -> dict[str, Tensor]:
    """Return weights as tensors by name; CheckpointError for what holds them deeper, or is none at all."""
    if not isinstance(mapping, Mapping):
        raise CheckpointError(
            f"the weights must be a mapping from names to tensors, got a {type(mapping).__name__}; give "
            "torch.load(FILE)['model_state_dict']"
        )
    weights = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            inner = next((key for key, held in mapping.items() if _holds_tensors(held)), name)
            raise CheckpointError(f"the weights must be tensors by name, got a whole checkpoint; give its [{inner!r}]")
        try:
            weights[str(name)] = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{name} must be a tensor or an array, got a {type(value).__name__}; give the weights alone"
            ) from error
    return weights


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(getattr(held, "ndim", 0) > 1 for held in value.values())


def from_reference_config(arguments: Arguments) -> Any:
    """Build a baseline from the arguments of the reference's constructor and, as ``kind``, what it is for.

    ``ctm`` and ``lstm`` take the feature map itself; ``ctm_parity``, ``ctm_maze``, ``ctm_sort``, ``ctm_qamnist``,
    ``lstm_parity``, ``lstm_maze`` and ``lstm_qamnist`` what :data:`TASKS` says. Raises
    :class:`~tide.errors.ConfigError` for arguments that are unknown, missing or out of range, and for backbones and
    positional embeddings that are not built here.
    """
    if not isinstance(arguments, Mapping):
        raise ConfigError(
            f"the arguments must be a mapping, got a {type(arguments).__name__}; give vars(arguments), of a checkpoint "
            "those of its 'args'"
        )
    if (inner := next((key for key in ("args", "config") if key in arguments), None)) is not None:
        kind = type(arguments[inner]).__name__
        remedy = f"vars(checkpoint[{inner!r}])" if kind == "Namespace" else f"checkpoint[{inner!r}]"
        raise ConfigError(f"the arguments must be those of the model, got a whole checkpoint; give {remedy}")
    if arguments.get("kind") in ("ctm_rl", "lstm_rl"):
        return _agent(arguments)
    kinds = {f"{name}_{task}".removesuffix("_image"): (name, task) for name in FAMILIES for task in TASKS}
    kind = arguments.get("kind", "lstm" if "num_layers" in arguments else "ctm")
    if kind not in list(kinds):
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(str(kind), kinds)}")
    name, task = kinds[kind][0], TASKS[kinds[kind][1]]
    family = FAMILIES[name]
    named = {theirs: ours for theirs, ours in family.required.items() if theirs not in task.without}
    named[task.ticks] = "ticks"
    optional = ("kind", *family.optional, *task.optional)
    _check_arguments(arguments, (*named, "out_dims", *task.further), optional, {**family.fixed, **task.fixed})
    settings = {ours: arguments[theirs] for theirs, ours in (named | family.optional).items() if theirs in arguments}
    core = family.core(**(settings | task.core.get(name, {})))
    return family.model(ModelConfig(core=core, **task.sections(arguments)._asdict()))


def _agent(arguments: Arguments) -> ReferenceModel:
    """Return a model that acts; arguments of the loss are for whoever trains it."""
    required = ("iterations", "d_model", "d_input", "n_synch_out", "memory_length", "memory_hidden_dims", "env_id")
    of_the_loss = ("discount_gamma", "gae_lambda", "clip_coef", "ent_coef", "vf_coef", "norm_adv", "clip_vloss")
    kind = str(arguments["kind"]).removesuffix("_rl")
    fixed = {"neuron_select_type": "first-last", "model_type": kind}
    _check_arguments(arguments, (*required, "actions"), ("kind", *of_the_loss), fixed)
    ticks, neurons, width = (arguments[name] for name in ("iterations", "d_model", "d_input"))
    view = "MiniGrid" in str(arguments["env_id"])
    settings: InputSettings = PlacesConfig() if view else VectorConfig(size=OBSERVED.get(arguments["env_id"], 4))
    backbone: BackboneSettings = ViewConfig(width=width, flat=True) if view else VectorsConfig(features=width)
    core: CoreSettings = LSTMConfig(neurons=neurons, ticks=ticks, layers=1, heads=0, attention_width=width)
    if kind == "ctm":
        core = CTMConfig(
            neurons=neurons,
            ticks=ticks,
            heads=0,
            attention_width=width,
            synapse_depth=1,
            synapse_blocks=2,
            window=True,
            memory_length=arguments["memory_length"],
            hidden=arguments["memory_hidden_dims"],
            selection="first-last",
            synchrony_out=arguments["n_synch_out"],
            synchrony_action=0,
        )
    output = OutputConfig(classes=arguments["actions"], critic=HIDDEN)
    return FAMILIES[kind].model(ModelConfig(core=core, input=settings, output=output, backbone=backbone))


def _check_arguments(arguments: Arguments, required: Iterable[str], optional: Iterable[str], fixed: Arguments) -> None:
    """Raise :class:`ConfigError` for arguments that are unknown or missing, or ask for what is not built here."""
    names = [*required, *optional, *fixed]
    for name, value in arguments.items():
        if name not in names:
            raise ConfigError(f"unknown argument {name!r} of the reference{did_you_mean(name, names)}")
        if name == "prediction_reshaper" and value == [arguments.get("out_dims")]:
            continue  # [-1], written out
        if name in fixed and value != fixed[name]:
            raise ConfigError(f"{name} must be {fixed[name]!r}, got {value!r}; nothing else is built here")
    for name in required:
        if name not in arguments:
            raise ConfigError(f"argument {name!r} of the reference is missing; give all arguments")


def _image(arguments: Arguments) -> Sections:
    """A feature map, ``d_input`` wide until weights say otherwise."""
    output = OutputConfig(classes=arguments["out_dims"])
    return Sections(ImageConfig(), output, FeatureMapConfig(features=arguments["d_input"]))


def _parity(arguments: Arguments) -> Sections:
    output = _positions(arguments)
    sequence = SequenceConfig(length=output.positions[0], alphabet=(-1.0, 1.0))
    return Sections(sequence, output, SymbolsConfig(features=arguments["d_input"]))


TRUNKS = {f"resnet{depth}-{stages}": (depth, stages) for depth in (18, 34) for stages in range(1, 5)}
"""The reference's names of the first stages of a ResNet: its depth and how many."""


def _maze(arguments: Arguments) -> Sections:
    """Pixels in [0, 1], which the model brings to the reference's [−1, 1]; without a backbone a feature map."""
    output, name = _positions(arguments), arguments.get("backbone_type", "none")
    if name == "none":
        return _image(arguments)._replace(output=output)
    if name not in list(TRUNKS):
        raise ConfigError(f"unknown backbone_type {name!r}{did_you_mean(str(name), ('none', *TRUNKS))}")
    depth, stages = TRUNKS[name]
    images = ImageConfig(channels=3, size=39, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Sections(images, output, ResNetTrunkConfig(depth=depth, stages=stages))


def _sort(arguments: Arguments) -> Sections:
    numbers, symbols = arguments["d_input"], arguments["out_dims"]
    output = OutputConfig(classes=symbols, emitted=symbols - 1)
    return Sections(SequenceConfig(length=numbers), output, FeatureMapConfig(features=numbers))


def _questions(arguments: Arguments) -> Sections:
    """Digits come normalised, as the reference takes them."""
    schedule = ScheduleConfig(
        mean=(0.0,),
        std=(1.0,),
        ticks_per_digit=arguments["iterations_per_digit"],
        ticks_per_part=arguments["iterations_per_question_part"],
    )
    output = OutputConfig(classes=arguments["out_dims"])
    return Sections(schedule, output, QuestionsConfig(features=arguments["d_input"]))


def _positions(arguments: Arguments) -> OutputConfig:
    """Answers of several positions, which the reshaper gives as [positions, classes]."""
    shape, total = arguments["prediction_reshaper"], arguments["out_dims"]
    if not isinstance(shape, list | tuple) or len(shape) != 2 or math.prod(shape) != total:
        raise ConfigError(
            f"prediction_reshaper must be [positions, classes] of product out_dims = {total}, got {shape!r}"
        )
    return OutputConfig(classes=shape[1], positions=(shape[0],))


BARE: Arguments = {"backbone_type": "none", "positional_embedding_type": "none", "prediction_reshaper": [-1]}
TASKS: Mapping[str, ReferenceTask] = {
    "image": ReferenceTask(_image, BARE),
    "parity": ReferenceTask(
        _parity,
        {"backbone_type": "parity_backbone", "positional_embedding_type": "custom-rotational-1d"},
        further=("prediction_reshaper",),
        optional=("use_most_certain",),
    ),
    "maze": ReferenceTask(
        _maze,
        {"positional_embedding_type": "none"},
        further=("prediction_reshaper",),
        optional=("backbone_type", "use_most_certain", "curriculum_lookahead"),
    ),
    "sort": ReferenceTask(_sort, BARE, optional=("blank",), core={"ctm": {"heads": 0}}),
    "qamnist": ReferenceTask(
        _questions,
        {"prediction_reshaper": [-1]},
        further=("iterations_per_digit", "iterations_per_question_part"),
        optional=("iterations", "use_most_certain", "answer_steps"),
        ticks="iterations_for_answering",
        core={"lstm": {"layers": 1}},
        without=("num_layers",),
    ),
}
"""Each task of the reference by the name that its kind ends in; ``image`` for the bare kind."""


# Names of parameters and kept buffers: pairs of ours and the reference's.


Names = Iterator[tuple[str, str]]
AFFINE = ("weight", "bias")
NORM = (*AFFINE, "running_mean", "running_var", "num_batches_tracked")
ATTENTION = {
    **{f"attention.tokens.{part}": f"kv_proj.0.{part}" for part in AFFINE},
    **{f"attention.token_norm.{part}": f"kv_proj.1.{part}" for part in AFFINE},
    **{f"attention.query.{part}": f"q_proj.{part}" for part in AFFINE},
    "attention.inner": "attention.in_proj_weight",
    "attention.inner_bias": "attention.in_proj_bias",
    **{f"attention.output.{part}": f"attention.out_proj.{part}" for part in AFFINE},
}
AGENT = "recurrent_model."  # before the names of all but actor and critic
GATED = (0, 2, 3, 5)  # layers with weights of two gated blocks
ACTOR_AND_CRITIC = {
    f"{ours}.layers.{layer}": (f"{theirs}.{layer}", AFFINE)
    for ours, theirs in (("cell.head", "actor"), ("critic", "critic"))
    for layer in (0, 2, 4)
}
START = {"start_hidden": "start_hidden_state", "start_memory": "start_cell_state"}


def single_lstm(config: ModelConfig) -> bool:
    """Whether the reference's model is a single LSTM cell and no stack of layers: so on questions over digits."""
    acts = isinstance(config.input, VectorConfig | PlacesConfig)
    return isinstance(config.core, LSTMConfig) and (isinstance(config.input, ScheduleConfig) or acts)


def cell_names(config: ModelConfig) -> Names:
    """Yield the names of a cell's parameters; shapes are the same but for :func:`single_lstm`."""
    if config.output.critic:
        inside = ((ours, theirs) for ours, theirs in _cell_names(config) if not ours.startswith("head."))
        yield from ((ours, AGENT + theirs) for ours, theirs in inside)
    else:
        yield from _cell_names(config)


def _cell_names(config: ModelConfig) -> Names:
    core = config.core
    if core.attends:
        yield from ATTENTION.items()
    yield from _modules({"head": ("output_projector.0", AFFINE)})
    if isinstance(core, LSTMConfig):
        yield from START.items()
        for layer in range(core.layers):
            for name in (f"{kind}_{side}" for kind in AFFINE for side in ("ih", "hh")):
                theirs = f"lstm_cell.{name}" if single_lstm(config) else f"lstm.{name}_l{layer}"
                yield f"lstm.{name}_l{layer}", theirs
    elif isinstance(core, CTMConfig):
        yield from (
            [("start_window", "start_activated_trace")] if core.window else [("start", "start_activated_state")]
        )
        yield "start_history", "start_trace"
        for use in ("action",) * core.attends + ("out",):
            yield f"synchrony_{use}.decay", f"decay_params_{use}"
        yield from _modules({f"synapses.{ours}": (f"synapses.{name}", AFFINE) for ours, name in _synapses(core)})
        for layer in range(2 if core.deep else 1):
            ours, theirs = f"trace_models.layers.{layer}", f"trace_processor.0.{2 * layer}"
            yield from (
                (f"{ours}.{a}", f"{theirs}.{b}") for a, b in (("weight", "w1"), ("bias", "b1"), ("temperature", "T"))
            )
            if core.neuron_norm:
                yield from _modules({f"{ours}.norm": (f"{theirs}.layernorm", AFFINE)})


def _synapses(core: CTMConfig) -> Names:
    if core.synapse_depth == 1 and core.synapse_blocks > 1:
        for block in range(core.synapse_blocks):
            yield from ((f"{block}.layers.{layer}", str(layer + 3 * block)) for layer in (1, 3))
        return
    if core.synapse_depth == 1:
        yield from (("layers.1", "1"), ("layers.3", "3"))
        return
    yield from (("first.0", "first_projection.0"), ("first.1", "first_projection.1"))
    for level in range(core.synapse_depth - 1):
        for layer in (1, 2):
            yield f"down.{level}.{layer}", f"down_projections.{level}.{layer}"
            yield f"up.{level}.{layer}", f"up_projections.{level}.{layer}"
        yield f"norms.{level}", f"skip_lns.{level}"


def backbone_names(config: BackboneSettings) -> Names:
    """Yield the names of a backbone's parameters and kept buffers."""
    if isinstance(config, VectorsConfig):
        blocks = {f"layers.{k}": (f"{AGENT}backbone.input_projector.{k + 1}", AFFINE) for k in GATED}
        yield from _modules(blocks)
    elif isinstance(config, ViewConfig):
        for number, kind in enumerate(("object", "color", "state", "position")):
            yield f"kinds.{number}.weight", f"{AGENT}backbone.{kind}_embedding.weight"
        blocks = {f"layers.{k}": (f"{AGENT}backbone.project_to_d_projection.{k}", AFFINE) for k in GATED}
        yield from _modules(blocks)
    elif isinstance(config, SymbolsConfig):
        yield "embedding.weight", "backbone.embedding.weight"
        yield from _modules({"positions.projection": ("positional_embedding.projection", AFFINE)})
    elif isinstance(config, QuestionsConfig):
        yield "places", "index_backbone.embedding"
        yield "operators.weight", "operator_backbone.embedding.weight"
        layers = {0: AFFINE, 1: NORM, 4: AFFINE, 5: NORM}
        yield from _modules({f"digit.{k}": (f"backbone_digit.layers.{k}", parts) for k, parts in layers.items()})
    elif isinstance(config, ResNetTrunkConfig):
        yield from _modules({"stem.0": ("initial_rgb", AFFINE)})
        modules = {"stem.1": ("conv1", ("weight",)), "stem.2": ("bn1", NORM)}
        for stage, count in enumerate(BLOCKS_OF[config.depth][: config.stages]):
            for block in range(count):
                ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
                for number in (1, 2):
                    modules[f"{ours}.body.{3 * number - 3}"] = f"{theirs}.conv{number}", ("weight",)
                    modules[f"{ours}.body.{3 * number - 2}"] = f"{theirs}.bn{number}", NORM
                if stage > 0 and block == 0:
                    modules[f"{ours}.skip.0"] = f"{theirs}.downsample.0", ("weight",)
                    modules[f"{ours}.skip.1"] = f"{theirs}.downsample.1", NORM
        yield from _modules({ours: (f"backbone.{theirs}", parts) for ours, (theirs, parts) in modules.items()})


def _modules(modules: Mapping[str, tuple[str, tuple[str, ...]]]) -> Names:
    """Yield the names of all parts of modules, given the reference's name of each and its parts."""
    for ours, (theirs, parts) in modules.items():
        yield from ((f"{ours}.{part}", f"{theirs}.{part}") for part in parts)
