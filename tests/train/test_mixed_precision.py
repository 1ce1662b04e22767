"""Half precision of the backbone in training: dynamics in float32, true gradients, a scale that survives a resume."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.test_step import assert_same, batch, everything, make
from tide.config import Config
from tide.config.run import MixedPrecision
from tide.data import Splits
from tide.runs.folder import RunFolder
from tide.train.report import SilentReporter, StepSummary
from tide.train.run import Run
from tide.train.step import Trainer
from tide.train.supervised import Supervised, supervised_run


def with_precision(config: Config, precision: MixedPrecision) -> Config:
    core = replace(config.core, head=replace(config.core.head, dropout=0.0))
    return replace(config, core=core, train=replace(config.train, mixed_precision=precision))


def gradients(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_backbone_alone_is_in_half_precision_and_in_training_alone(
    tiny: Config, digits: Splits, precision: MixedPrecision, dtype: torch.dtype
) -> None:
    model = make(with_precision(tiny, precision)).model
    seen: dict[str, set[torch.dtype]] = {}
    for part in ("backbone", "cell"):
        for module in getattr(model, part).modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                kinds = seen.setdefault(part, set())
                module.register_forward_hook(lambda _m, _i, out, kinds=kinds: kinds.add(out.dtype), prepend=True)
    images, _ = batch(digits, 0)
    out = model.train()(images, record="rates_e")
    assert seen == {"backbone": {dtype}, "cell": {torch.float32}}
    assert {out.logits.dtype, out.trace["rates_e"].dtype} == {torch.float32}
    seen["backbone"].clear()
    model.eval()(images)
    assert seen["backbone"] == {torch.float32}


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.1), ("fp16", 0.02)])
def test_a_step_takes_the_gradient_of_full_precision_up_to_rounding(
    tiny: Config, digits: Splits, precision: MixedPrecision, tolerance: float
) -> None:
    whole, half = make(with_precision(tiny, "none")), make(with_precision(tiny, precision))
    results = [trainer.step(5, [batch(digits, 0)]) for trainer in (whole, half)]
    assert all(result.accepted for result in results)
    assert float(results[1].terms.total) == pytest.approx(float(results[0].terms.total), rel=tolerance)
    expected, found = gradients(whole), gradients(half)  # a scaled loss would show as a factor of thousands
    assert 0 < float((found - expected).norm() / expected.norm()) < tolerance


def test_an_overflow_of_the_scaled_loss_rejects_the_step_and_lowers_the_scale(tiny: Config, digits: Splits) -> None:
    trainer = make(with_precision(tiny, "fp16"))
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 2.0**120})
    before = everything(trainer)
    result = trainer.step(0, [batch(digits, 0)])
    assert not result.accepted
    assert trainer.scaler.get_scale() == 2.0**119
    for group in before["optimizer"]["param_groups"]:
        group["lr"] = result.learning_rate
    assert_same(before, everything(trainer))


def test_a_resumed_run_goes_on_with_the_scale_that_it_had(tiny: Config, digits: Splits, tmp_path: Path) -> None:
    config = with_precision(replace(tiny, train=replace(tiny.train, steps=8)), "fp16")

    def start(name: str, reporter: SilentReporter) -> Run[Supervised]:
        return supervised_run(config, digits, RunFolder.create(tmp_path / name, config), reporter)

    whole = start("whole", SilentReporter(8))
    whole.task.trainer.scaler.load_state_dict(
        whole.task.trainer.scaler.state_dict() | {"scale": 2.0**10, "growth_interval": 3}
    )
    whole.fit()
    assert whole.task.trainer.scaler.get_scale() == 2.0**12

    class Stopping(SilentReporter):
        def reading(self, reading: StepSummary) -> None:
            if reading.step == 4:
                signal.raise_signal(signal.SIGTERM)

    cut = start("cut", Stopping(8))
    cut.task.trainer.scaler.load_state_dict(
        cut.task.trainer.scaler.state_dict() | {"scale": 2.0**10, "growth_interval": 3}
    )
    assert cut.fit() == signal.SIGTERM
    resumed = supervised_run(config, digits, RunFolder.open(tmp_path / "cut"), SilentReporter(8))
    resumed.resume()
    assert resumed.progress.step == 4
    resumed.fit()
    assert resumed.task.trainer.scaler.state_dict() == whole.task.trainer.scaler.state_dict()
    weights = [load_file(tmp_path / name / "last" / "model.safetensors") for name in ("whole", "cut")]
    assert_same(*weights)
