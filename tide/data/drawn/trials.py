"""Trials of neuroscience's laboratories, drawn by a program: what is shown and what is to be answered at each step.

Every trial is a series of steps of 100 ms. The first number of a step is the cue to fixate, which goes off when an
answer is asked for; class 0 is to fixate. Timings are those of neurogym (Molano-Mazon et al. 2022) and of the papers
named at each task.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tide.config import ModelConfig, SeriesConfig, register
from tide.data.drawn.sets import DrawnTask, check_answer, one_difficulty
from tide.data.sets import check_at_least
from tide.errors import ConfigError, check
from tide.models.task_presets import SERIES_TASKS

NOISE = 0.1  # deviation of what is shown, per step of 100 ms
COHERENCES = (0.0, 6.4, 12.8, 25.6, 51.2)
"""Strengths of evidence in %, as in Britten et al. 1992."""

Trials = tuple[Tensor, Tensor]
"""What is shown, (B, L, n) float, and the class at each step, (B, L) int64."""


def _blank(count: int, length: int, size: int, decision: int, generator: torch.Generator) -> Trials:
    """Return trials with the cue on until the last ``decision`` steps, noise in the other numbers, and fixation."""
    check_at_least(("count", count, 1))
    shown = torch.zeros(count, length, size)
    shown[:, : length - decision, 0] = 1
    shown[..., 1:] = NOISE * torch.randn(count, length, size - 1, generator=generator)
    return shown, torch.zeros(count, length, dtype=torch.int64)


def _choose(count: int, options: int, generator: torch.Generator) -> Tensor:
    return torch.randint(options, (count,), generator=generator)


def draw_decision(count: int, generator: torch.Generator, coherence: float | None = None) -> Trials:
    """Two noisy streams of evidence for 2 s: which is stronger? (Perceptual decision making, Britten et al. 1992.)

    22 steps of 3 numbers, classes fixate, first, second. ``coherence`` in % is that of all trials; drawn from
    :data:`COHERENCES` where it is left out.
    """
    shown, answers = _blank(count, 22, 3, 1, generator)
    side = _choose(count, 2, generator)
    strengths = torch.tensor(COHERENCES)[_choose(count, len(COHERENCES), generator)]
    if coherence is not None:
        strengths = torch.full((count,), coherence)
    evidence = (1 - 2 * side) * strengths / 200
    shown[:, 1:21, 1] += 0.5 + evidence[:, None]
    shown[:, 1:21, 2] += 0.5 - evidence[:, None]
    answers[:, -1] = 1 + side
    return shown, answers


def draw_matching(count: int, generator: torch.Generator) -> Trials:
    """A sample, a delay of 1 s, a test: the same or another? (Delayed match to sample, Miller et al. 1996.)

    32 steps of 3 numbers, classes fixate, same, other.
    """
    shown, answers = _blank(count, 32, 3, 9, generator)
    sample, test = _choose(count, 2, generator), _choose(count, 2, generator)
    rows = torch.arange(count)
    for step in range(3, 8):
        shown[rows, step, 1 + sample] += 1
    for step in range(18, 23):
        shown[rows, step, 1 + test] += 1
    answers[:, 23:] = (1 + (sample != test).long())[:, None]
    return shown, answers


def draw_context(count: int, generator: torch.Generator) -> Trials:
    """Two kinds of evidence and a cue which of them counts (context-dependent integration, Mante et al. 2013).

    22 steps of 7 numbers: fixation, two streams of each kind, two cues; classes fixate, first, second.
    """
    shown, answers = _blank(count, 22, 7, 1, generator)
    kind, rows = _choose(count, 2, generator), torch.arange(count)
    sides = torch.stack([_choose(count, 2, generator) for _ in range(2)], 1)
    for number in range(2):
        strengths = torch.tensor(COHERENCES[1:])[_choose(count, len(COHERENCES) - 1, generator)]
        evidence = (1 - 2 * sides[:, number]) * strengths / 200
        shown[:, 1:21, 1 + 2 * number] += 0.5 + evidence[:, None]
        shown[:, 1:21, 2 + 2 * number] += 0.5 - evidence[:, None]
    shown[:, :, 5:] = 0
    shown[rows, :, 5 + kind] = 1
    answers[:, -1] = 1 + sides[rows, kind]
    return shown, answers


def draw_go(count: int, generator: torch.Generator) -> Trials:
    """A sign, a delay, then respond or not (Go/No-go, Zhang et al. 2019). 16 steps of 3 numbers, fixate and go."""
    shown, answers = _blank(count, 16, 3, 5, generator)
    go = _choose(count, 2, generator)
    shown[torch.arange(count), 1:6, 1 + go] += 1
    answers[:, 11:] = go[:, None]
    return shown, answers


def draw_flip_flop(count: int, generator: torch.Generator) -> Trials:
    """Three switches that keep what they were last set to (3-bit flip-flop, Sussillo and Barak 2013).

    40 steps of 4 numbers, pulses of ±1 that come at one step in eight; the class is the number that the three bits
    write, 1 where a switch was last set up. Before its first pulse a switch is down.
    """
    shown, _ = _blank(count, 40, 4, 0, generator)
    pulses = (torch.rand(count, 40, 3, generator=generator) < 1 / 8) * (
        2.0 * torch.randint(2, (count, 40, 3), generator=generator) - 1
    )
    shown[..., 1:] += pulses
    bits, held = [], torch.zeros(count, 3)
    for step in pulses.unbind(1):
        held = torch.where(step == 0, held, (step > 0).to(held))
        bits.append(held)
    return shown, (torch.stack(bits, 1) @ torch.tensor([4.0, 2.0, 1.0])).long()


DRAWS: dict[str, Callable[[int, torch.Generator], Trials]] = {
    "decision": draw_decision,
    "matching": draw_matching,
    "context": draw_context,
    "go": draw_go,
    "flip_flop": draw_flip_flop,
}
"""How the trials of each task are drawn; :data:`tide.models.task_presets.SERIES_TASKS` has their shapes."""


def _task(name: str) -> Callable[[ModelConfig, Path | None], DrawnTask]:
    draw, (length, size, labels) = DRAWS[name], SERIES_TASKS[name]

    def build(model: ModelConfig, directory: Path | None) -> DrawnTask:
        if not isinstance(model.input, SeriesConfig):
            raise ConfigError(f"input.kind must be series for task {name}, got {model.input.kind}")
        check(
            (model.input.length, model.input.size) == (length, size),
            f"input must be {length} steps of {size} numbers for task {name}, got {model.input.length} of "
            f"{model.input.size}",
        )
        check_answer(model, (length,), len(labels))
        return one_difficulty(draw)

    return build


for _name in DRAWS:
    register("task", _name)(_task(_name))
