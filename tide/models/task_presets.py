"""Presets of the tasks that need steps: the published sizes, and small ones that learn on two cores.

Sizes are those of the reference CTM (Darlow et al., arXiv:2505.05522, and its published scripts). TIDE has as many
neurons, ticks, attention heads and pairs; nobody has published it on these tasks (``docs/fidelity.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tide.config import (
    AttentionConfig,
    ClipConfig,
    Config,
    ConvolutionsConfig,
    CoreConfig,
    DrawnConfig,
    FeatureMapConfig,
    HeadConfig,
    ImageConfig,
    LossConfig,
    MemoryConfig,
    NeuronModelConfig,
    OutputConfig,
    QuestionsConfig,
    ReferenceSchedule,
    ResNetTrunkConfig,
    ScheduleConfig,
    SequenceConfig,
    SeriesConfig,
    SymbolsConfig,
    SynchronyConfig,
    TrainConfig,
)

PAID_AT_THE_END = LossConfig(objective="last_certain", ei_weight=0.0, game_weight=0.0, sync_weight=0.0)
"""Objective of TIDE on tasks that need steps (``results/ticks``)."""

MOVES = ("up", "down", "left", "right", "end")


def parity() -> Config:
    """Parity of every prefix of 64 bits: 1,024 neurons, 75 ticks, 200,000 steps."""
    return Config(
        input=SequenceConfig(length=64, alphabet=(-1.0, 1.0)),
        output=OutputConfig(classes=2, positions=(64,), labels=("even", "odd")),
        backbone=SymbolsConfig(features=512),
        core=_core(neurons=1024, ticks=75, history=25, hidden=16, width=512, heads=8, pairs=528),
        data=DrawnConfig(name="parity"),
        train=_train(steps=200_000, warmup=500, batch=64, rate=1e-4, quantile=0.9),
    )


def parity_16() -> Config:
    """Parity of every prefix of 16 bits: 128 neurons, 16 ticks, some ten minutes on two cores."""
    base = parity()
    return replace(
        base,
        input=SequenceConfig(length=16, alphabet=(-1.0, 1.0)),
        output=replace(base.output, positions=(16,)),
        backbone=SymbolsConfig(features=64),
        core=reasoning(_core(neurons=128, ticks=16, history=8, hidden=4, width=64, heads=4, pairs=64)),
        loss=PAID_AT_THE_END,
        train=_train(steps=6_000, warmup=250, batch=64, rate=1e-3, quantile=0.9),
    )


def sort() -> Config:
    """Sorting of 30 numbers, whose places are emitted over 50 ticks: 512 neurons, 100,000 steps."""
    return _sorting(30, _core(neurons=512, ticks=50, history=25, hidden=4, width=512, heads=0, pairs=32), 32, 100_000)


def sort_8() -> Config:
    """Sorting of 8 numbers: 128 neurons, 16 ticks, some ten minutes on two cores."""
    return _sorting(8, _core(neurons=128, ticks=16, history=8, hidden=4, width=64, heads=0, pairs=64), 64, 5_000)


def _sorting(length: int, core: CoreConfig, batch: int, steps: int) -> Config:
    return Config(
        input=SequenceConfig(length=length),
        output=OutputConfig(classes=length + 1, emitted=length),
        backbone=FeatureMapConfig(features=length),
        core=core,
        data=DrawnConfig(name="sort"),
        loss=LossConfig(objective="ctc"),
        train=_train(steps=steps, warmup=steps // 20, batch=batch, rate=1e-3),
    )


def maze() -> Config:
    """Mazes of 39 pixels, routes of up to 100 moves: 2,048 neurons, 75 ticks, a million steps."""
    return Config(
        input=ImageConfig(channels=3, size=39, mean=(0.5,) * 3, std=(0.5,) * 3),
        output=OutputConfig(classes=5, positions=(100,), labels=MOVES),
        backbone=ResNetTrunkConfig(depth=34, stages=2),
        core=_core(neurons=2048, ticks=75, history=25, hidden=32, width=512, heads=16, pairs=2080, dropout=0.1),
        data=DrawnConfig(name="maze"),
        loss=LossConfig(objective="route"),
        train=_train(steps=1_000_000, warmup=10_000, batch=64, rate=1e-4),
    )


def maze_15() -> Config:
    """Mazes of 15 pixels, routes of up to 50 moves: 256 neurons, 25 ticks, under an hour on two cores."""
    return _small_maze(15, 50, _core(neurons=256, ticks=25, history=10, hidden=8, width=64, heads=4, pairs=256), 8_000)


def maze_9() -> Config:
    """Mazes of 9 pixels, routes of up to 20 moves: 128 neurons, 15 ticks, some twenty minutes on two cores."""
    return _small_maze(9, 20, _core(neurons=128, ticks=15, history=8, hidden=4, width=64, heads=4, pairs=128), 6_000)


def _small_maze(size: int, route: int, core: CoreConfig, steps: int) -> Config:
    base = maze()
    return replace(
        base,
        input=replace(base.images, size=size),
        output=replace(base.output, positions=(route,)),
        backbone=ConvolutionsConfig(features=64),
        core=reasoning(core),
        loss=replace(PAID_AT_THE_END, objective="route", route_ticks="last_certain"),
        train=_train(steps=steps, warmup=250, batch=64, rate=1e-3),
    )


def sudoku_4() -> Config:
    """Sudoku of 4 x 4 cells, any number of givens: 128 neurons, 16 ticks, some six minutes on two cores."""
    return _sudoku(4, _core(neurons=128, ticks=16, history=8, hidden=4, width=64, heads=4, pairs=128), 6_000)


def sudoku_6() -> Config:
    """Sudoku of 6 x 6 cells, any number of givens: 256 neurons, 24 ticks, some forty minutes on two cores."""
    return _sudoku(6, _core(neurons=256, ticks=24, history=10, hidden=4, width=64, heads=4, pairs=256), 10_000)


def _sudoku(side: int, core: CoreConfig, steps: int) -> Config:
    return Config(
        input=SequenceConfig(length=side * side, alphabet=tuple(float(number) for number in range(side + 1))),
        output=OutputConfig(
            classes=side, positions=(side * side,), labels=tuple(str(number + 1) for number in range(side))
        ),
        backbone=SymbolsConfig(features=64, positions="learned"),
        core=reasoning(core),
        data=DrawnConfig(name="sudoku"),
        loss=PAID_AT_THE_END,
        train=_train(steps=steps, warmup=250, batch=64, rate=1e-3, quantile=0.9),
    )


def qamnist() -> Config:
    """Questions over one to four digits, each shown for ten ticks: 1,024 neurons, 300,000 steps."""
    return Config(
        input=ScheduleConfig(),
        backbone=QuestionsConfig(features=64),
        core=_core(neurons=1024, ticks=10, history=30, hidden=16, width=64, heads=4, pairs=528),
        data=DrawnConfig(name="qamnist"),
        train=_train(steps=300_000, warmup=500, batch=64, rate=1e-4),
    )


def qamnist_small() -> Config:
    """Questions over one to three digits of 14 pixels, three ticks each: 256 neurons, half an hour on two cores."""
    return replace(
        qamnist(),
        input=ScheduleConfig(size=14, digits=(1, 3), operations=(1, 2), ticks_per_digit=3, ticks_per_part=3),
        backbone=QuestionsConfig(features=32),
        core=_core(neurons=256, ticks=5, history=8, hidden=8, width=32, heads=4, pairs=136),
        train=_train(steps=6_000, warmup=250, batch=64, rate=1e-3),
    )


SERIES_TASKS = {
    "decision": (22, 3, ("fixate", "first", "second")),
    "matching": (32, 3, ("fixate", "same", "other")),
    "context": (22, 7, ("fixate", "first", "second")),
    "go": (16, 3, ("fixate", "go")),
    "flip_flop": (40, 4, tuple(f"{number:03b}" for number in range(8))),
}
"""Tasks of neuroscience's laboratories: steps, numbers of a step, names of the answers."""


def series_task(name: str) -> Config:
    """A task of neuroscience: 100 neurons, a tick a step, a few minutes on one core."""
    length, size, labels = SERIES_TASKS[name]
    core = _core(neurons=100, ticks=1, history=8, hidden=4, width=64, heads=0, pairs=112)
    return Config(
        input=SeriesConfig(length=length, size=size),
        output=OutputConfig(classes=len(labels), positions=(length,), labels=labels),
        backbone=FeatureMapConfig(features=size),
        core=replace(
            core,
            dt=5.0,
            lateral=replace(core.lateral, iterations=0),
            memory=replace(core.memory, enabled=False),
            synchrony=replace(core.synchrony, time_scales=(0.5, 20.0)),
        ),
        data=DrawnConfig(name=name),
        loss=replace(PAID_AT_THE_END, objective="last"),
        train=_train(steps=3_000, warmup=100, batch=32, rate=2e-3),
    )


DRAWN_TASKS: Mapping[str, Callable[[], Config]] = {
    "parity": parity,
    "parity.16": parity_16,
    "sort": sort,
    "sort.8": sort_8,
    "maze": maze,
    "maze.15": maze_15,
    "maze.9": maze_9,
    "sudoku.4": sudoku_4,
    "sudoku.6": sudoku_6,
    **{name: partial(series_task, name) for name in SERIES_TASKS},
    "qamnist": qamnist,
    "qamnist.small": qamnist_small,
}
"""TIDE's experiment on each task whose data a program draws."""

CTM_CORES: Mapping[tuple[str, int], Mapping[str, Any]] = {
    ("parity", 64): {"synapse_depth": 1, "selection": "random", "synchrony_out": 32, "synchrony_action": 32},
    ("parity", 16): {"synapse_depth": 1},
    ("sort", 30): {"synapse_depth": 4},
    ("sort", 8): {"synapse_depth": 4},
    ("maze", 39): {"synapse_depth": 8, "selection": "first-last", "synchrony_out": 64, "synchrony_action": 32},
    ("maze", 15): {"synapse_depth": 4},
    ("maze", 9): {"synapse_depth": 4},
    ("sudoku", 16): {"synapse_depth": 1},
    ("sudoku", 36): {"synapse_depth": 1},
    ("qamnist", 32): {"synapse_depth": 1, "selection": "random", "synchrony_out": 32, "synchrony_action": 32},
    ("qamnist", 14): {"synapse_depth": 1},
}
"""What the reference CTM has of its own on a task of a length or size."""

REFERENCE_TASKS = ("parity", "sort", "maze", "qamnist")
"""Tasks that the reference CTM and LSTM were published on, with an objective of two points."""

LSTM_UNITS: Mapping[tuple[str, int], tuple[int, int]] = {
    ("parity", 64): (765, 1),
    ("parity", 16): (110, 1),
    ("maze", 39): (2048, 1),
    ("qamnist", 32): (875, 1),
}
"""Units and layers of the LSTM that has as many parameters as the CTM, on a task of a length or size."""


def extent(config: Config) -> tuple[str, int]:
    """Return the key under which a task of a length or size is found above."""
    return config.data.name, config.input.extent


def reasoning(core: CoreConfig) -> CoreConfig:
    """Return a core whose network is recurrent from the first step on, for tasks that need steps (``results/ticks``).

    Recurrent matrices start balanced, rates follow their input within a tick, LayerNorm stands in the place of the
    norm, start rates are small, and lateral inhibition is left out. Dale's principle and the equation stay.
    """
    return replace(
        core,
        start="balanced",
        start_rates=(0.1, 0.1),
        tau_i=core.tau_e,
        dt=core.tau_e,
        norm="layer",
        lateral=replace(core.lateral, iterations=0),
    )


def _core(
    *, neurons: int, ticks: int, history: int, hidden: int, width: int, heads: int, pairs: int, dropout: float = 0.0
) -> CoreConfig:
    """Return a core whose pairs are shared out between the three types as the paper's are (256 : 128 : 64)."""
    half, quarter = round(pairs * 2 / 7), round(pairs / 7)
    return CoreConfig(
        neurons=neurons,
        ticks=ticks,
        attention=AttentionConfig(width=width, heads=heads),
        neuron_models=NeuronModelConfig(memory_length=history, hidden=hidden),
        synchrony=SynchronyConfig(
            pairs_ee=pairs - half - quarter, pairs_ei=half, pairs_ii=quarter, width=min(128, max(32, neurons // 2))
        ),
        memory=MemoryConfig(width=min(128, max(32, neurons // 2))),
        head=HeadConfig(hidden=min(256, 2 * neurons), dropout=dropout),
    )


def _train(*, steps: int, warmup: int, batch: int, rate: float, quantile: float | None = None) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        batch=batch,
        learning_rate=rate,
        weight_decay=0.0,
        reference=ReferenceSchedule(
            steps=steps, warmup=warmup, curriculum_start=steps // 50, curriculum_length=steps // 10
        ),
        clip=ClipConfig(quantile=quantile),
        eval_every=max(250, steps // 40),
    )
