"""Named configurations, each derived from another (paper, Table A.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tide.config import (
    TERMS,
    AttentionConfig,
    ClipConfig,
    Config,
    CoreConfig,
    CTMConfig,
    DeepHRFConfig,
    EIConfig,
    FolderConfig,
    HeadConfig,
    HRFConfig,
    ImageConfig,
    InputSettings,
    LossConfig,
    LSTMConfig,
    MemoryConfig,
    NamedDataConfig,
    NeuronModelConfig,
    OutputConfig,
    ReferenceSchedule,
    SynchronyConfig,
    TrainConfig,
)
from tide.config.io import from_dict
from tide.errors import ConfigError, did_you_mean
from tide.models.task_presets import CTM_CORES, DRAWN_TASKS, LSTM_UNITS, REFERENCE_TASKS, SERIES_TASKS, extent

INPUTS: Mapping[str, InputSettings] = {
    "digits": ImageConfig(size=16, mean=(0.3062,), std=(0.3191,)),
    "mnist": ImageConfig(),
    "fashion-mnist": ImageConfig(mean=(0.2860,), std=(0.3530,)),
    "cifar10": ImageConfig(channels=3, size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "cifar100": ImageConfig(channels=3, size=32, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)),
}
"""Shape and pixel statistics of each named data set (of its training images)."""

OUTPUTS: Mapping[str, OutputConfig] = {name: OutputConfig(classes=100 if name == "cifar100" else 10) for name in INPUTS}
"""What there is to answer about each named data set."""


def mnist() -> Config:
    """MNIST: 256 neurons, 50,000 steps of 64 images."""
    return Config(input=INPUTS["mnist"])


def fashion_mnist() -> Config:
    """Fashion-MNIST: MNIST's settings, with random crop and flip."""
    return replace(
        mnist(), input=INPUTS["fashion-mnist"], data=NamedDataConfig(name="fashion-mnist", crop_padding=2, flip=True)
    )


def cifar10() -> Config:
    """CIFAR-10: 512 neurons, 600,000 steps of 256 images, no dropout."""
    base = mnist()
    steps = 600_000
    return replace(
        base,
        input=INPUTS["cifar10"],
        core=CoreConfig(neurons=512, head=HeadConfig(dropout=0.0)),
        data=NamedDataConfig(name="cifar10", crop_padding=4, flip=True),
        # Read by `anytime` alone: at one half, the default, its last tick lies 3.7 points under the most certain one.
        loss=replace(base.loss, anytime_weight=0.75),
        train=replace(
            base.train,
            steps=steps,
            batch=256,
            learning_rate=5e-4,
            reference=replace(base.train.reference, steps=steps, warmup=10_000),
            eval_every=5_000,
        ),
    )


def cifar100() -> Config:
    """CIFAR-100: CIFAR-10's settings, with 718 neurons and 300,000 steps."""
    base = cifar10()
    assert isinstance(base.core, CoreConfig)
    steps = 300_000
    return replace(
        base,
        input=INPUTS["cifar100"],
        output=OUTPUTS["cifar100"],
        core=replace(base.core, neurons=718),
        data=NamedDataConfig(name="cifar100", crop_padding=4, flip=True),
        train=replace(base.train, steps=steps, reference=replace(base.train.reference, steps=steps)),
    )


def digits() -> Config:
    """Scikit-learn's digits, embedded and offline: a small model that trains in about a minute on two cores."""
    steps = 300
    return replace(
        mnist(),
        input=INPUTS["digits"],
        backbone=HRFConfig(width=16, branch_width=8, features=64),
        core=CoreConfig(
            neurons=128,
            ticks=10,
            attention=AttentionConfig(width=64),
            neuron_models=NeuronModelConfig(memory_length=10),
            synchrony=SynchronyConfig(width=64),
            memory=MemoryConfig(width=64),
            head=HeadConfig(hidden=128),
        ),
        data=NamedDataConfig(name="digits"),
        train=TrainConfig(
            steps=steps,
            learning_rate=2e-3,
            reference=ReferenceSchedule(steps=steps, warmup=30, curriculum_start=30, curriculum_length=60),
            eval_every=100,
            checkpoint_every=100,
        ),
    )


def imagenet() -> Config:
    """ImageNet-1K from a folder of photos: 4,096 neurons, deep HRF, 100,000 steps of 16 x 64 photos."""
    steps = 100_000
    return Config(
        input=ImageConfig(channels=3, size=224, crop=0.875, mean=None, std=None),
        output=OutputConfig(classes=1000),
        backbone=DeepHRFConfig(),
        core=CoreConfig(
            neurons=4096,
            attention=AttentionConfig(width=512, heads=16, residual=True),
            neuron_models=NeuronModelConfig(hidden=32),
            synchrony=SynchronyConfig(pairs_ee=4096, pairs_ei=2048, pairs_ii=2048, width=512, clamp=100.0),
            memory=MemoryConfig(width=512),
            head=HeadConfig(hidden=2048),
        ),
        data=FolderConfig(name="imagenet", photos="streamed", flip=True),
        loss=LossConfig(game="residual", spectral_weight=0.1),
        train=TrainConfig(
            steps=steps,
            batch=64,
            accumulation=16,  # of all processes together: 4 on each of the paper's 4
            learning_rate=5e-4,
            reference=ReferenceSchedule(steps=steps, warmup=10_000, curriculum_start=10_000, curriculum_length=10_000),
            tbptt=25,
            mixed_precision="bf16",
            clip=ClipConfig(
                total=20.0, backbone=2.0, attention=2.0, dynamics=50.0, neuron_models=5.0, synchrony=5.0, head=20.0
            ),
            eval_every=5_000,
            eval_batch=64,
        ),
    )


def imagenet_small() -> Config:
    """ImageNet's settings with 1,024 neurons and a quarter of everything that goes with them."""
    base = imagenet()
    assert isinstance(base.core, CoreConfig)
    return replace(
        base,
        core=replace(
            base.core,
            neurons=1024,
            attention=AttentionConfig(width=256, heads=8, residual=True),
            neuron_models=NeuronModelConfig(hidden=16),
            synchrony=SynchronyConfig(pairs_ee=1024, pairs_ei=512, pairs_ii=512, width=256, clamp=100.0),
            memory=MemoryConfig(width=256),
            head=HeadConfig(hidden=1024),
        ),
    )


def imagenet_tiny() -> Config:
    """ImageNet's procedure at a size for tests: 128 neurons, narrow backbone, 8 ticks, photos of 64 pixels."""
    base = imagenet()
    assert isinstance(base.core, CoreConfig)
    return replace(
        base,
        input=replace(base.images, size=64),
        backbone=DeepHRFConfig(width=8, blocks=1, grid=4),
        core=replace(
            base.core,
            neurons=128,
            ticks=8,
            attention=AttentionConfig(width=32, heads=4, residual=True),
            neuron_models=NeuronModelConfig(memory_length=6),
            synchrony=SynchronyConfig(pairs_ee=128, pairs_ei=64, pairs_ii=64, width=32, clamp=100.0),
            memory=MemoryConfig(width=32),
            head=HeadConfig(hidden=64),
        ),
        train=replace(base.train, batch=8, accumulation=2, tbptt=4),
    )


def photos() -> Config:
    """Your own photos, by class in a folder: colour, 128 pixels, 256 neurons, 3,000 steps of 32 photos.

    They are decoded when they are used, in training to a random part of them, so that any number will do; a tenth of
    the training photos is held out to choose the best checkpoint by.
    """
    steps = 3_000
    return Config(
        input=ImageConfig(channels=3, size=128, crop=0.875, mean=None, std=None),
        core=CoreConfig(ticks=25, neuron_models=NeuronModelConfig(memory_length=15)),
        data=FolderConfig(photos="streamed", flip=True, validation=0.1),
        train=TrainConfig(
            steps=steps,
            batch=32,
            reference=ReferenceSchedule(steps=steps, warmup=150, curriculum_start=150, curriculum_length=600),
            eval_every=500,
            eval_batch=100,
        ),
    )


def photos_small() -> Config:
    """The same at 64 pixels, for a few thousand photos: decoded once, kept in memory, cropped there."""
    base = photos()
    assert isinstance(base.input, ImageConfig)
    return replace(
        base, input=replace(base.input, size=64, crop=1.0), data=FolderConfig(crop_padding=8, flip=True, validation=0.1)
    )


def _as_published(base: Config) -> Config:
    """Return an experiment with the objective that the reference CTM has on a task of its own: two points."""
    if base.data.name not in REFERENCE_TASKS:
        return base
    loss = replace(base.loss, route_ticks="two_point")
    return replace(base, loss=replace(loss, objective="two_point") if loss.objective == "last_certain" else loss)


def ctm(base: Config) -> Config:
    """Return a TIDE experiment with the CTM in TIDE's place.

    Neurons, ticks, history, attention, hidden units and dropout are the same; each of its two synchronisations has as
    many pairs as TIDE's one. The synapse model's depth is the reference's default, 4. On tasks for which the reference
    says more, its own choices stand (:data:`tide.models.task_presets.CTM_CORES`).
    """
    core = base.core
    assert isinstance(core, CoreConfig)
    pairs = core.synchrony.pairs_ee + core.synchrony.pairs_ei + core.synchrony.pairs_ii
    return _without_auxiliary_terms(
        _as_published(base),
        CTMConfig(
            **_of_same_size(core),
            memory_length=core.neuron_models.memory_length,
            hidden=core.neuron_models.hidden,
            **{
                "synchrony_out": pairs,
                "synchrony_action": pairs if core.attends else 0,
                **CTM_CORES.get(extent(base), {}),
            },
        ),
    )


def lstm(base: Config) -> Config:
    """Return a TIDE experiment with the LSTM baseline in TIDE's place: same units per layer, ticks and attention.

    On tasks that a program draws it has the size and the second tick that the reference gives it.
    """
    core = base.core
    assert isinstance(core, CoreConfig)
    settings = _of_same_size(core)
    if extent(base) in LSTM_UNITS:
        settings["neurons"], settings["layers"] = LSTM_UNITS[extent(base)]
    if extent(base) in CTM_CORES:
        base = replace(base, loss=replace(base.loss, second_tick="last"))
    return _without_auxiliary_terms(_as_published(base), LSTMConfig(**settings))


def _of_same_size(core: CoreConfig) -> dict[str, Any]:
    return {
        "neurons": core.neurons,
        "ticks": core.ticks,
        "attention_width": core.attention.width,
        "heads": core.attention.heads,
        "dropout": core.head.dropout,
    }


def _without_auxiliary_terms(base: Config, core: CTMConfig | LSTMConfig | EIConfig) -> Config:
    none: dict[str, Any] = {f"{term.name}_weight": 0.0 for term in TERMS if term.of_populations}
    return replace(base, core=core, loss=replace(base.loss, **none))


def anytime(base: Config) -> Config:
    """Return an experiment with the objective that asks every tick for an answer.

    TIDE's latent state and head then keep their magnitude, and its start rates are small: an early tick cannot be as
    certain as a late one. Its synchronisation starts with decays over 1 to 25 ticks in place of none at all, so the
    latent state does not grow with every tick and an answer outlasts the ticks trained with. A core that reasons
    (:func:`~tide.models.task_presets.reasoning`) keeps what it has.
    """
    loss, core = replace(base.loss, objective="anytime"), base.core
    if isinstance(core, CoreConfig) and core.start == "weak":
        core = replace(
            core,
            start_rates=(0.08, 0.32),
            synchrony=replace(core.synchrony, norm_epsilon=1.0, time_scales=(1.0, 25.0)),
            head=replace(core.head, norm_epsilon=1.0),
        )
    return replace(base, core=core, loss=loss)


def ei_rnn(base: Config) -> Config:
    """Return an experiment on series with a plain excitatory-inhibitory layer in TIDE's place."""
    core = base.core
    assert isinstance(core, CoreConfig)
    plain = EIConfig(neurons=core.neurons, ticks=core.ticks, dt=20.0, tau_e=100.0, tau_i=100.0, noise=0.1)
    return _without_auxiliary_terms(base, plain)


MODELS: Mapping[str, Callable[[Config], Config]] = {
    "tide": lambda base: base,
    "anytime": anytime,
    "ctm": ctm,
    "lstm": lstm,
    "anytime-ctm": lambda base: anytime(ctm(base)),
    "anytime-lstm": lambda base: anytime(lstm(base)),
    "ei_rnn": ei_rnn,
}
"""Each model by name, as the change of a TIDE experiment."""


def model_name(config: Config) -> str:
    """Return under which name of :data:`MODELS` an experiment belongs, by its core and its objective."""
    kind, every_tick = config.core.kind, config.loss.objective == "anytime"
    if kind == "tide":
        return "anytime" if every_tick else "tide"
    return f"anytime-{kind}" if every_tick else kind


TASKS: Mapping[str, Callable[[], Config]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagenet": imagenet,
    "imagenet.small": imagenet_small,
    "imagenet.tiny": imagenet_tiny,
    "photos": photos,
    "photos.small": photos_small,
    **DRAWN_TASKS,
}
"""TIDE's experiment on each named data set and each task."""

# A list that is emitted over the ticks has no answer at every one of them; a series has one tick a step.
_OF_LISTS = {task for task, base in TASKS.items() if base().output.emitted}


def _fits(model: str, task: str) -> bool:
    """Whether there is a preset of a task for a model."""
    if model == "ei_rnn":
        return task in SERIES_TASKS
    return not (model.startswith("anytime") and (task in _OF_LISTS or task in SERIES_TASKS))


PRESETS: tuple[str, ...] = tuple(
    task if model == "tide" else f"{model}.{task}" for model in MODELS for task in TASKS if _fits(model, task)
)
"""Every preset: a task for TIDE with the paper's objective, or MODEL.TASK for another objective or a baseline."""


def preset(name: str, **sections: Any) -> Config:
    """Return a preset with some settings changed: ``preset("mnist", core=dict(ticks=25), seed=1)``.

    Raises :class:`ConfigError` for an unknown preset or setting (naming the nearest) and for values out of range.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}")
    model, task = ("tide", name) if name in TASKS else name.split(".", 1)
    return from_dict(Config, sections, base=MODELS[model](TASKS[task]()))
