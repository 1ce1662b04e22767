"""Answers of several positions, lists emitted over the ticks, drawn data; and a task of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.conftest import BASELINES
from tide.config import TERMS, Config, FeatureMapConfig, OutputConfig, SequenceConfig, register
from tide.config.io import from_dict
from tide.data import DrawnTask, read_splits
from tide.errors import ConfigError, InputError
from tide.evaluate.answers import collect_answers
from tide.losses import cross_entropies, list_loss
from tide.models.heads import arranged, certainty, emitted, read_answers, share_right
from tide.models.inputs import input_kind
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.runs.folder import RunFolder
from tide.train.report import SilentReporter
from tide.train.run import Run, StopRequest
from tide.train.supervised import Supervised, fit_to_data, resolved, supervised_run

LENGTH, POSITIONS = 5, OutputConfig(classes=3, positions=(2, 2))


def steps_up(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw numbers; the answer says of each but the first whether it is above the one before."""
    numbers = torch.randn(count, LENGTH, generator=generator)
    return numbers, (numbers.diff(dim=1) > 0).long()


register("task", "steps_up")(lambda model, directory: DrawnTask(steps_up, (steps_up, steps_up)))


def order(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    numbers = torch.randn(count, LENGTH, generator=generator)
    return numbers, numbers.argsort(1)


register("task", "order")(lambda model, directory: DrawnTask(order, (order,)))


SMALL: dict[str, dict[str, object]] = {
    "tide": {
        "neurons": 20,
        "attention": {"heads": 0},
        "synchrony": {"pairs_ee": 9, "pairs_ei": 7, "pairs_ii": 5, "width": 4},
    },
    "ctm": BASELINES["ctm"] | {"ticks": 8, "heads": 0, "synchrony_action": 0},
    "lstm": BASELINES["lstm"] | {"ticks": 8, "heads": 0},
}


@pytest.fixture(params=["tide", "ctm", "lstm"])
def experiment(request: pytest.FixtureRequest) -> Callable[..., Config]:
    """Return a maker of tiny experiments on numbers, for each of the three cores."""

    def make(task: str, **output: object) -> Config:
        core: dict[str, object] = {"kind": request.param, "ticks": 8, **SMALL[request.param]}
        emits = "emitted" in output
        none = {f"{term.name}_weight": 0.0 for term in TERMS if term.of_populations and request.param != "tide"}
        return resolved(
            from_dict(
                Config,
                {
                    "input": {"kind": "sequence", "length": LENGTH},
                    "output": output,
                    "backbone": {"kind": "none", "features": LENGTH},
                    "core": core,
                    "data": {"name": task},
                    "loss": {"objective": "ctc"} | none if emits else none,
                    "train": {"steps": 4, "batch": 6, "eval_every": 2, "checkpoint_every": 2, "log_every": 1},
                },
            )
        )

    return make


def train(config: Config, folder: Path, upto: int | None = None) -> Run[Supervised]:
    splits = read_splits(config)
    config = fit_to_data(config, splits)
    fresh = not folder.exists()
    run = RunFolder.create(folder, config, device="cpu") if fresh else RunFolder.open(folder)
    training = supervised_run(config, splits, run, SilentReporter(config.train.steps))
    if not fresh:
        training.resume()
    if upto is None:
        training.fit()
    else:
        with StopRequest() as stop:
            for _ in range(upto):
                training._advance(stop)
    return training


def test_a_task_of_ones_own_trains_evaluates_and_resumes_bit_for_bit(
    experiment: Callable[..., Config], tmp_path: Path
) -> None:
    config = experiment("steps_up", classes=2, positions=[LENGTH - 1])
    whole = train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", upto=2)
    train(config, tmp_path / "parts")
    whole_log, parts_log = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts"))
    assert whole_log == parts_log
    last = [json.loads(line) for line in whole_log.splitlines() if '"evaluation"' in line][-1]

    answers = collect_answers(whole.task.model, whole.task.test, batch=300)
    at = answers.certainty.argmax(1)
    right = [answers.predicted[n, :, at[n]] == answers.labels[n] for n in range(len(at))]
    assert last["accuracy"] == pytest.approx(torch.stack(right).double().mean().item())
    assert last["whole_accuracy"] == pytest.approx(sum(bool(r.all()) for r in right) / len(right))
    assert answers.labels.shape == (1000, LENGTH - 1)


def test_a_list_is_emitted_and_halts_when_it_is_complete(experiment: Callable[..., Config], tmp_path: Path) -> None:
    training = train(experiment("order", classes=LENGTH + 1, emitted=LENGTH), tmp_path / "run")
    model, (numbers, _) = training.task.model.eval(), order(40, torch.Generator().manual_seed(1))
    whole, halted = model.predict(numbers), model.predict(numbers, halt=1.0)
    logits = model(numbers).logits
    assert torch.equal(whole.label, emitted(logits, LENGTH)[..., -1])
    assert torch.equal(whole.label, halted.label)
    assert bool((halted.ticks <= 8).all())


def test_numbers_are_refused_in_one_line(experiment: Callable[..., Config]) -> None:
    model = Thinker(experiment("steps_up", classes=2, positions=[LENGTH - 1]).model)
    with pytest.raises(InputError, match=r"must have shape \(B, 5\), got \(2, 4\)"):
        model(torch.zeros(2, 4))
    with pytest.raises(InputError, match="must be finite, got NaN or infinity"):
        model(torch.full((2, LENGTH), math.nan))
    with pytest.raises(InputError, match="record must name quantities of this model, got 'attention'"):
        model(torch.zeros(2, LENGTH), record="attention")


def test_symbols_outside_the_alphabet_are_named() -> None:
    bits = input_kind(preset("parity.16", input={"length": 3}).model)
    bits.check(torch.tensor([[-1.0, 1.0, 1.0]]))
    with pytest.raises(InputError, match="a symbol must be one of -1, 1, got 0"):
        bits.check(torch.tensor([[-1.0, 0.0, 1.0]]))


def test_positions_stand_one_behind_the_other_and_count_alike() -> None:
    flat = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.randint(3, (3, 2, 2), generator=torch.Generator().manual_seed(1))
    logits = arranged(flat, POSITIONS)
    sure, losses = certainty(logits), cross_entropies(logits, targets)
    right = share_right(read_answers(logits, sure, POSITIONS).classes, targets)
    for b in range(3):
        for t in range(5):
            cells = [flat[b, 3 * k : 3 * k + 3, t] for k in range(4)]
            p = [torch.softmax(cell, 0) for cell in cells]
            entropy = sum(float(-(q * q.log()).sum()) for q in p) / 4 / math.log(3)
            assert float(sure[b, t]) == pytest.approx(1 - entropy)
            wanted = targets[b].flatten().tolist()
            assert float(losses[b, t]) == pytest.approx(
                -sum(float(q[c].log()) for q, c in zip(p, wanted, strict=True)) / 4
            )
            assert float(right[b, t]) == sum(int(q.argmax()) == c for q, c in zip(p, wanted, strict=True)) / 4


def test_lists_against_a_slow_decoder_and_torchs_mean() -> None:
    logits = 3 * torch.randn(20, 5, 9, generator=torch.Generator().manual_seed(2))
    targets = torch.rand(20, 4, generator=torch.Generator().manual_seed(3)).argsort(1)
    after = emitted(logits, 4)
    for b in range(20):
        for t in range(9):
            out: list[int] = []
            for symbol in logits[b, :, : t + 1].argmax(0).tolist():
                if symbol != 4 and (not out or out[-1] != symbol):
                    out.append(symbol)
            assert after[b, :, t].tolist() == [*out[:4], *[-1] * (4 - len(out[:4]))]
    for earlier, later in pairwise(read_answers(logits, logits[:, 0], OutputConfig(classes=5, emitted=4)).certainty.T):
        assert bool((later >= earlier).all())
    lengths = torch.full((20,), 9), torch.full((20,), 4)
    mean = functional.ctc_loss(logits.log_softmax(1).permute(2, 0, 1), targets, *lengths, blank=4)
    assert float(list_loss(logits, targets).mean()) == pytest.approx(float(mean))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"output": OutputConfig(classes=3, emitted=2)},
            "loss.objective must be ctc .* got two_point with output.emitted = 2",
        ),
        ({"input": SequenceConfig(length=9)}, "core.attention.heads must be 0 with input numbers"),
        (
            {"input": SequenceConfig(length=9), "backbone": FeatureMapConfig(features=8)},
            "core.attention.heads must be 0 with input numbers",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(Config(), **change)  # type: ignore[arg-type]
