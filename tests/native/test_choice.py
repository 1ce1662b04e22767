"""One function says which loop runs and why."""

from __future__ import annotations

import pytest
import torch

from tide.cli.main import main
from tide.errors import InputError
from tide.native import choice
from tide.native.library import Library

UNCOVERED = [
    ({"activation": "softplus"}, "no core.activation softplus"),
    ({"norm": "rms_shared"}, "no core.norm rms_shared"),
]


@pytest.fixture
def automatic(native, monkeypatch) -> Library:
    monkeypatch.delenv("TIDE_NATIVE")
    return native


def test_a_covered_model_runs_natively(tiny_model, automatic):
    assert tiny_model(torch.float32).tick_loop() == (automatic, "native")
    assert tiny_model(torch.float32).tick_loop(["latent", "ei_ratio", "surprise"]).library is automatic
    assert tiny_model(torch.float32).tick_loop("rates_e").library is None


@pytest.mark.parametrize(("core", "told"), UNCOVERED)
def test_an_uncovered_setting_runs_eagerly_unless_native_is_required(tiny_model, automatic, monkeypatch, core, told):
    model = tiny_model(torch.float32, **core)
    assert model.tick_loop().library is None
    assert told in model.tick_loop().reason
    monkeypatch.setenv("TIDE_NATIVE", "require")
    with pytest.raises(InputError, match=told):
        model(torch.rand(1, 1, 9, 9))


def test_another_type_or_device_runs_eagerly(tiny_model, automatic):
    assert "not for float64" in tiny_model().tick_loop().reason
    like = torch.empty(1, device="meta")
    assert "not for device meta" in choice.choose(tiny_model().config.core, like).reason


@pytest.mark.parametrize("kind", ["ctm", "lstm"])
def test_other_cores_have_no_native_loop_and_run_where_one_is_required(tiny_model, native, kind):
    model = tiny_model(torch.float32, kind=kind)
    assert model.tick_loop().reason == f"eager: core {kind} has no native loop"
    model(torch.rand(1, 1, 9, 9))


def test_recorded_compiled_changed_and_watched_ticks_run_eagerly(tiny_model, native):
    model, x = tiny_model(torch.float32), torch.rand(2, 1, 9, 9)
    assert model.tick_loop(["rates_e"]).reason == "eager: ticks are recorded"
    assert model(x, record="rates_e").trace["rates_e"].shape == (2, 4, 16)
    seen = []
    handle = model.cell.synchronisation.streams[0].register_forward_hook(lambda *_: seen.append(1))
    model(x)
    assert len(seen) == 5
    handle.remove()
    assert model.tick_loop().library is native
    step = model.cell.step
    model.cell.step = lambda state: step(state)
    assert model.tick_loop().library is None
    del model.cell.step
    model.compiled_step = step
    assert model.tick_loop().reason == "eager: ticks were compiled or changed, or are watched"
    model.compiled_step = None
    with torch.autocast("cpu", torch.bfloat16):
        assert model.tick_loop().reason == "eager: operations are cast or watched"
    model.cell.lateral.double()
    assert model.tick_loop().library is None


def test_transformed_passes_run_eagerly(tiny_model, native):
    model, seen = tiny_model(torch.float32), []

    def watched(value: torch.Tensor) -> torch.Tensor:
        seen.append(model.tick_loop().reason)
        return value.sum()

    torch.func.grad(watched)(torch.ones(2))
    torch.func.jvp(watched, (torch.ones(2),), (torch.ones(2),))
    assert seen == ["eager: operations are compiled, traced or transformed"] * 2
    assert model.tick_loop().library is native


def test_the_variable_switches_off_and_refuses_nonsense(tiny_model, native, monkeypatch):
    model = tiny_model(torch.float32)
    monkeypatch.setenv("TIDE_NATIVE", "0")
    assert model.tick_loop().reason == "eager: TIDE_NATIVE is 0"
    monkeypatch.setenv("TIDE_NATIVE", "yes")
    with pytest.raises(InputError, match=r"TIDE_NATIVE must be 0 .*, got 'yes'"):
        model.tick_loop()


@pytest.mark.parametrize(("wish", "told"), [("require", "native"), ("0", "eager: TIDE_NATIVE is 0")])
def test_dry_run_and_log_say_which_loop_runs(native, monkeypatch, capsys, tmp_path, wish, told):
    monkeypatch.setenv("TIDE_NATIVE", wish)
    small = ["train", "digits", "--core.ticks", "2", "--core.neurons", "40", "--device", "cpu", "--train.batch", "4"]
    pairs = ["--core.synchrony.pairs-ee", "9", "--core.synchrony.pairs-ei", "9", "--core.synchrony.pairs-ii", "9"]
    assert main([*small, *pairs, "--dry-run"]) == 0
    assert any("loop over ticks" in line and told in line for line in capsys.readouterr().out.splitlines())
    steps = ["--train.steps", "1", "--train.eval-every", "1", "--out", str(tmp_path / "run")]
    assert main([*small, *pairs, *steps]) == 0
    assert f"loop over ticks: {told}" in capsys.readouterr().err
