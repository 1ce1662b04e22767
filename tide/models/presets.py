"""Named configurations, each derived from another (paper, Table A.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tide.config import (
    AttentionConfig,
    Config,
    CoreConfig,
    CTMConfig,
    DataConfig,
    HeadConfig,
    HRFConfig,
    InputConfig,
    LossConfig,
    LSTMConfig,
    MemoryConfig,
    NeuronModelConfig,
    ReferenceSchedule,
    SynchronyConfig,
    TrainConfig,
)
from tide.config_io import from_dict
from tide.errors import ConfigError, did_you_mean

INPUTS: Mapping[str, InputConfig] = {
    "digits": InputConfig(size=16, mean=(0.3062,), std=(0.3191,)),
    "mnist": InputConfig(),
    "fashion-mnist": InputConfig(mean=(0.2860,), std=(0.3530,)),
    "cifar10": InputConfig(channels=3, size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "cifar100": InputConfig(
        channels=3, size=32, classes=100, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
    ),
}
"""Shape and pixel statistics of each named data set (of its training images)."""


def mnist() -> Config:
    """MNIST: 256 neurons, 50,000 steps of 64 images."""
    return Config(input=INPUTS["mnist"])


def fashion_mnist() -> Config:
    """Fashion-MNIST: MNIST's settings, with random crop and flip."""
    return replace(
        mnist(),
        input=INPUTS["fashion-mnist"],
        data=DataConfig(name="fashion-mnist", crop_padding=2, flip=True),
    )


def cifar10() -> Config:
    """CIFAR-10: 512 neurons, 600,000 steps of 256 images, no dropout."""
    base = mnist()
    steps = 600_000
    return replace(
        base,
        input=INPUTS["cifar10"],
        core=CoreConfig(neurons=512, head=HeadConfig(dropout=0.0)),
        data=DataConfig(name="cifar10", crop_padding=4, flip=True),
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
    steps = 300_000
    return replace(
        base,
        input=INPUTS["cifar100"],
        core=replace(base.core, neurons=718),
        data=replace(base.data, name="cifar100"),
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
        data=DataConfig(name="digits"),
        train=TrainConfig(
            steps=steps,
            learning_rate=2e-3,
            reference=ReferenceSchedule(steps=steps, warmup=30, curriculum_start=30, curriculum_length=60),
            eval_every=100,
            checkpoint_every=100,
        ),
    )


def ctm(base: Config) -> Config:
    """Return a TIDE experiment with the CTM in TIDE's place.

    Neurons, ticks, history, attention, hidden units and dropout are the same; each of its two synchronisations has as
    many pairs as TIDE's one. The synapse model's depth is the reference's default, 4.
    """
    core = base.core
    assert isinstance(core, CoreConfig)
    pairs = core.synchrony.pairs_ee + core.synchrony.pairs_ei + core.synchrony.pairs_ii
    return _without_auxiliary_terms(
        base,
        CTMConfig(
            neurons=core.neurons,
            ticks=core.ticks,
            attention_width=core.attention.width,
            heads=core.attention.heads,
            memory_length=core.neuron_models.memory_length,
            hidden=core.neuron_models.hidden,
            synchrony_out=pairs,
            synchrony_action=pairs,
            dropout=core.head.dropout,
        ),
    )


def lstm(base: Config) -> Config:
    """Return a TIDE experiment with the LSTM baseline in TIDE's place: same units per layer, ticks and attention."""
    core = base.core
    assert isinstance(core, CoreConfig)
    return _without_auxiliary_terms(
        base,
        LSTMConfig(
            neurons=core.neurons,
            ticks=core.ticks,
            attention_width=core.attention.width,
            heads=core.attention.heads,
            dropout=core.head.dropout,
        ),
    )


def _without_auxiliary_terms(base: Config, core: CTMConfig | LSTMConfig) -> Config:
    loss = LossConfig(ei_weight=0.0, game_weight=0.0, sync_weight=0.0)
    return replace(base, core=core, loss=loss)


MODELS: Mapping[str, Callable[[Config], Config]] = {"tide": lambda base: base, "ctm": ctm, "lstm": lstm}
"""Each model by name, as the change of a TIDE experiment."""

TASKS: Mapping[str, Callable[[], Config]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}
"""TIDE's experiment on each named data set."""

PRESETS: tuple[str, ...] = tuple(task if model == "tide" else f"{model}.{task}" for model in MODELS for task in TASKS)
"""Every preset: a task for TIDE, or MODEL.TASK for a baseline."""


def preset(name: str, **sections: Any) -> Config:
    """Return a preset with some settings changed: ``preset("mnist", core=dict(ticks=25), seed=1)``.

    Raises :class:`ConfigError` for an unknown preset or setting (naming the nearest) and for values out of range.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}")
    model, _, task = name.rpartition(".")
    return from_dict(Config, sections, base=MODELS[model or "tide"](TASKS[task]()))
