"""Presets of models that act: the published sizes of the CTM's reinforcement learning, and small ones.

Sizes are those of Darlow et al., arXiv:2505.05522, and its published scripts. Nobody has published a TIDE that acts:
one environment step is worth about one time constant of the excitatory neurons (``docs/fidelity.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tide.config import (
    AttentionConfig,
    BackboneSettings,
    CoreConfig,
    CTMConfig,
    HeadConfig,
    LSTMConfig,
    MemoryConfig,
    NeuronModelConfig,
    OutputConfig,
    PlacesConfig,
    SynchronyConfig,
    VectorConfig,
    VectorsConfig,
    ViewConfig,
)
from tide.config.control import ControlConfig, EnvironmentConfig, PPOConfig
from tide.config.io import from_dict
from tide.errors import ConfigError, did_you_mean

HIDDEN = 64  # units of actor and critic
TAU_E = 5.0  # ms that one environment step is worth


def cartpole() -> ControlConfig:
    """A pole that is balanced without seeing velocities: 128 neurons, 10 million steps."""
    return _cartpole(
        128,
        PPOConfig(
            steps=10_000_000,
            environments=256,
            rollout=100,
            minibatches=4,
            learning_rate=1e-3,
            entropy=0.1,
            evaluate_every=500_000,
        ),
    )


def cartpole_small() -> ControlConfig:
    """The same with 64 neurons: some two minutes on two cores."""
    return _cartpole(64, PPOConfig())


def _cartpole(neurons: int, train: PPOConfig) -> ControlConfig:
    core = _core(neurons=neurons, reads=16, history=10, hidden=4)
    return _control("cartpole", 4, ("left", "right"), width=neurons, core=core, scale=0.04, train=train)


def acrobot() -> ControlConfig:
    """Two links that swing up without seeing velocities: 256 neurons, 2 million steps."""
    return _control(
        "acrobot",
        6,
        ACROBOT,
        width=64,
        core=_core(neurons=256, reads=16, history=5, hidden=4),
        scale=0.04,
        train=PPOConfig(
            steps=2_000_000,
            environments=12,
            rollout=100,
            epochs=1,
            minibatches=4,
            learning_rate=5e-4,
            entropy=0.1,
            evaluate_every=100_000,
        ),
    )


def acrobot_small() -> ControlConfig:
    """The same with the settings of `cartpole.small`."""
    small = cartpole_small()
    return replace(
        small,
        input=VectorConfig(size=6),
        output=replace(small.output, classes=3, labels=ACROBOT),
        task=EnvironmentConfig(name="acrobot", reward_scale=0.04),
    )


def four_rooms() -> ControlConfig:
    """A goal in one of four rooms (MiniGrid), seen 7 x 7 places at a time: 512 neurons, 300 million steps."""
    core = _core(neurons=512, reads=32, history=10, hidden=16)
    return ControlConfig(
        input=PlacesConfig(),
        output=OutputConfig(
            classes=7,
            labels=("turn left", "turn right", "forward", "pick up", "drop", "toggle", "done"),
            critic=HIDDEN,
        ),
        backbone=ViewConfig(width=128),
        core=replace(core, attention=AttentionConfig(width=128, heads=4)),
        task=EnvironmentConfig(name="four_rooms"),
        train=PPOConfig(
            steps=300_000_000,
            environments=256,
            rollout=50,
            epochs=1,
            minibatches=4,
            learning_rate=1e-4,
            entropy=0.1,
            evaluate_every=5_000_000,
        ),
    )


ACROBOT = ("negative torque", "none", "positive torque")
CONTROL_TASKS: Mapping[str, Callable[[], ControlConfig]] = {
    "cartpole": cartpole,
    "cartpole.small": cartpole_small,
    "acrobot": acrobot,
    "acrobot.small": acrobot_small,
    "four_rooms": four_rooms,
}
"""TIDE's experiment on each environment."""

LSTM_UNITS: Mapping[str, tuple[int, ...]] = {
    "cartpole": (118, 126, 148),
    "cartpole.small": (60, 60, 60),
    "acrobot": (243, 249, 265),
    "acrobot.small": (60, 60, 60),
    "four_rooms": (294, 300, 300),
}
"""Units of the LSTM that has as many parameters as the CTM, with 1, 2 and 5 ticks; of small ones that learns."""


def _ctm(base: ControlConfig, name: str) -> ControlConfig:
    """Return an experiment with the CTM of the reference's reinforcement learning in TIDE's place."""
    core = base.core
    assert isinstance(core, CoreConfig)
    reads = 32 if name == "four_rooms" else 16
    found = CTMConfig(
        neurons=core.neurons,
        ticks=core.ticks,
        heads=0,
        attention_width=core.attention.width,
        synapse_depth=1,
        synapse_blocks=2,
        window=True,
        memory_length=core.neuron_models.memory_length,
        hidden=core.neuron_models.hidden,
        selection="first-last",
        synchrony_out=reads,
        synchrony_action=0,
    )
    # The synchrony starts far below unit size: without a LayerNorm a short run never leaves the uniform policy.
    output = replace(base.output, critic_norm=name.endswith(".small"))
    return replace(base, core=found, output=output, backbone=_flat_view(base))


def _lstm(base: ControlConfig, name: str) -> ControlConfig:
    core = base.core
    assert isinstance(core, CoreConfig)
    units = LSTM_UNITS[name][{1: 0, 2: 1}.get(core.ticks, 2)]
    found = LSTMConfig(neurons=units, ticks=core.ticks, layers=1, heads=0, attention_width=core.attention.width)
    return replace(base, core=found, backbone=_flat_view(base))


def _flat_view(base: ControlConfig) -> BackboneSettings:
    """Return the backbone of a baseline, whose neurons a view drives as a whole."""
    backbone = base.backbone
    return replace(backbone, flat=True) if isinstance(backbone, ViewConfig) else backbone


CONTROL_PRESETS: tuple[str, ...] = tuple(
    task if model == "tide" else f"{model}.{task}" for model in ("tide", "ctm", "lstm") for task in CONTROL_TASKS
)
"""Every preset of a model that acts: an environment for TIDE, or MODEL.ENVIRONMENT for a baseline."""


def control_preset(name: str, **sections: Any) -> ControlConfig:
    """Return a preset with some settings changed: ``control_preset("cartpole.small", core=dict(ticks=2), seed=1)``.

    Raises :class:`ConfigError` for an unknown preset or setting and for values out of range.
    """
    if name not in CONTROL_PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, CONTROL_PRESETS)}")
    model, task = ("tide", name) if name in CONTROL_TASKS else name.split(".", 1)
    base = CONTROL_TASKS[task]()
    if model != "tide":
        base = {"ctm": _ctm, "lstm": _lstm}[model](base, task)
    return from_dict(ControlConfig, sections, base=base)


def _control(
    name: str, size: int, actions: tuple[str, ...], *, width: int, core: CoreConfig, scale: float, train: PPOConfig
) -> ControlConfig:
    return ControlConfig(
        input=VectorConfig(size=size),
        output=OutputConfig(classes=len(actions), labels=actions, critic=HIDDEN),
        backbone=VectorsConfig(features=width),
        core=core,
        task=EnvironmentConfig(name=name, reward_scale=scale),
        train=train,
    )


def _core(*, neurons: int, reads: int, history: int, hidden: int) -> CoreConfig:
    """Return TIDE's core with as many pairs as all those among ``reads`` neurons."""
    pairs = reads * (reads + 1) // 2
    half, quarter = round(pairs * 2 / 7), round(pairs / 7)
    width = min(128, max(32, neurons // 2))
    return CoreConfig(
        neurons=neurons,
        ticks=1,
        dt=TAU_E,
        attention=AttentionConfig(heads=0),
        neuron_models=NeuronModelConfig(memory_length=history, hidden=hidden),
        synchrony=SynchronyConfig(
            pairs_ee=pairs - half - quarter, pairs_ei=half, pairs_ii=quarter, width=width, time_scales=(0.2, 10.0)
        ),
        memory=MemoryConfig(enabled=False, width=width),
        head=HeadConfig(dropout=0.0),
    )
