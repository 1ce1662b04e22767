"""Devices of training: an average of the weights, ticks ahead without gradient, thinking on after a step."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.test_step import batch
from tide.config import Config
from tide.config.io import from_dict
from tide.data import Splits
from tide.errors import ConfigError
from tide.losses import objective
from tide.models.load import load
from tide.models.thinker import Thinker
from tide.nn import project_
from tide.nn.constraints import violations
from tide.runs.folder import RunFolder
from tide.train.report import SilentReporter
from tide.train.run import Run
from tide.train.step import Trainer, make_optimizer
from tide.train.supervised import Supervised, supervised_run


def with_train(config: Config, **changes: Any) -> Config:
    return replace(config, train=replace(config.train, **changes))


def trainer_of(config: Config) -> Trainer:
    model = Thinker(config.model)
    return Trainer(model, make_optimizer(model, config.train), config)


def test_the_average_follows_the_weights_faster_at_first_and_keeps_the_bounds(tiny: Config, digits: Splits) -> None:
    trainer = trainer_of(with_train(tiny, ema=0.7, learning_rate=0.02))
    expected: dict[str, Tensor] = {}
    assert trainer.average is not None
    for step in range(12):
        trainer.step(step, [batch(digits, 16 * step)])
        now = copy.deepcopy(trainer.model.state_dict())
        share = 1 - min(0.7, (1 + step) / (10 + step))
        for name, value in now.items():
            follows = step > 0 and value.is_floating_point()
            expected[name] = expected[name] + share * (value - expected[name]) if follows else value
    for name, value in trainer.average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    assert violations(trainer.average.module) == []
    assert any(not torch.equal(value, now[name]) for name, value in expected.items())


def test_a_guarantee_holds_for_the_average_too(tiny: Config, digits: Splits) -> None:
    core = replace(tiny.core, norm="rms_cap", guarantee="contraction", start="balanced")
    trainer = trainer_of(with_train(replace(tiny, core=core), ema=0.9, learning_rate=0.05))
    for step in range(6):
        trainer.step(step, [batch(digits, 16 * step)])
    assert trainer.average is not None
    rate = trainer.average.module.cell.certified_rate()
    assert rate is not None
    assert rate < 1


def test_ticks_ahead_have_no_gradient_and_the_others_go_on_from_there(tiny: Config, digits: Splits) -> None:
    images, labels = batch(digits, 0)
    model = Thinker(tiny.model).eval()

    def gradients(**options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        out = model(images, **options)
        total = objective(out, labels, model.cell.blocks(), tiny.loss, curriculum=1.0).total
        names, parameters = zip(*model.named_parameters(), strict=True)
        slopes = torch.autograd.grad(total, parameters, allow_unused=True)
        return out.logits, {name: slope for name, slope in zip(names, slopes, strict=True) if slope is not None}

    with torch.no_grad():
        state = model(images, ticks=5).state
    logits, found = gradients(head_start=5)
    expected_logits, expected = gradients(state=state)
    torch.testing.assert_close(logits, expected_logits)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-7, msg=name)
    assert "cell.wilson_cowan.start" not in found
    assert "cell.wilson_cowan.start" in gradients()[1]


def test_every_number_of_ticks_ahead_is_drawn(tiny: Config, digits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, seen = trainer_of(with_train(tiny, head_start=3)), []
    ahead = Thinker._ahead

    def spy(model: Thinker, moment: Any, parts: Any, ticks: int) -> Any:
        seen.append(ticks)
        return ahead(model, moment, parts, ticks)

    monkeypatch.setattr(Thinker, "_ahead", spy)
    for step in range(40):
        torch.manual_seed(step)
        trainer.step(0, [batch(digits, 0, 4)])
    assert set(seen) == {1, 2, 3}
    assert 20 < len(seen) < 38  # the others had none


def test_segments_are_steps_on_the_same_images_from_where_the_thought_ended(tiny: Config, digits: Splits) -> None:
    config = with_train(tiny, segments=3)
    task = Supervised(config, digits)
    assert task.step(0)
    other = trainer_of(tiny)
    (images,) = Supervised(tiny, digits).batches(0)
    states = None
    for segment in range(3):
        if segment == 0:
            task._seed(0, 0)
        else:
            task._seed(0, 0, segment)
        states = other.step(0, [images], states).ends
    for name, value in task.model.state_dict().items():
        torch.testing.assert_close(value, other.model.state_dict()[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("changes", [{"ema": 0.9, "head_start": 2, "segments": 2}, {"ema": 0.999}])
def test_a_run_with_all_devices_resumes_bit_for_bit_and_saves_the_average(
    tiny: Config, digits: Splits, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = with_train(tiny, steps=6, checkpoint_every=3, eval_every=3, **changes)

    def run(name: str, steps: int) -> Run[Supervised]:
        folder = (
            RunFolder.open(tmp_path / name) if (tmp_path / name).exists() else RunFolder.create(tmp_path / name, config)
        )
        found = supervised_run(config, digits, folder, SilentReporter(6))
        if found.folder.last.exists():
            found.resume()
        found.task.cadence = found.task.cadence._replace(steps=steps)
        found.fit()
        return found

    whole = run("whole", 6)
    run("parted", 3)
    parted = run("parted", 6)
    for a, b in ((whole.task.model, parted.task.model), (whole.task.shown, parted.task.shown)):
        assert all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())
    saved, shown = load(tmp_path / "whole", checkpoint="last"), whole.task.shown.state_dict()
    assert all(torch.equal(value, shown[name]) for name, value in saved.state_dict().items())
    assert any(not torch.equal(value, whole.task.model.state_dict()[name]) for name, value in shown.items())
    project_(saved)
    assert all(torch.equal(value, shown[name]) for name, value in saved.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"ema": 1.0}}, r"train\.ema must be .* got 1"),
        ({"train": {"segments": 0}}, r"train\.segments must be at least 1, got 0"),
        ({"train": {"head_start": -1}}, r"train\.head_start must be at least 0, got -1"),
        ({"core": {"start_gain": 0.0}}, r"core\.start_gain must be above 0, got 0"),
        ({"core": {"start": "strong"}}, r"core\.start must be .*got 'strong'"),
    ],
)
def test_what_is_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Config, settings)


@pytest.mark.parametrize(("task", "name"), [("sort.8", "segments"), ("qamnist.small", "head_start")])
def test_what_begins_at_its_first_tick_cannot_begin_later(task: str, name: str) -> None:
    from tide.models.presets import preset

    with pytest.raises(ConfigError, match=f"train.{name} must be .* begins at its first tick"):
        preset(task, train={name: 2})
