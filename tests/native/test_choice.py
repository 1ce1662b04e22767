"""One function says which loop runs and why."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, is_dataclass

import pytest
import torch

from tide.cli.main import main
from tide.config import CoreConfig
from tide.errors import InputError
from tide.models import ticks
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


def test_every_setting_of_a_core_is_known_to_the_native_loop_or_refused_away_from_its_default(tiny_model):
    """A new setting belongs into ``KNOWN`` once the native loop computes it, or once no tick depends on it."""
    core = tiny_model().config.core
    sections = {"core": core} | {f"core.{name}": part for name, part in vars(core).items() if is_dataclass(part)}
    settings = {place: {f.name for f in fields(part)} for place, part in sections.items()}
    settings["core"] -= {place.removeprefix("core.") for place in sections}
    assert {place: set(names) for place, names in choice.KNOWN.items()} == settings

    @dataclass(frozen=True, kw_only=True)
    class Edited(CoreConfig):
        activation_i: str = "relu"
        pools: tuple[int, ...] = field(default_factory=tuple)

    assert choice.unknown_setting(Edited()) is None
    assert choice.choose(Edited(activation_i="softplus"), torch.empty(1)).reason == (
        "eager: the native loop does not know core.activation_i softplus"
    )
    assert choice.unknown_setting(Edited(pools=(3,))) == "core.pools (3,)"


def softer(h, activation):
    return torch.cat((torch.relu(h[:, :-4]), torch.nn.functional.softplus(h[:, -4:])), 1)


def flatter(h, activation):
    """The same numbers with another gradient."""
    return torch.relu(h) * 0.5 + (torch.relu(h) * 0.5).detach()


@pytest.mark.parametrize(
    ("edited", "told"), [(softer, "computes another [a-z ]+ than"), (flatter, r"another gradient of [\w.]+ than")]
)
def test_an_edited_equation_runs_eagerly_and_says_so_once(tiny_model, automatic, monkeypatch, edited, told):
    monkeypatch.setattr(ticks, "_DIFFERENCES", {})
    monkeypatch.setattr("tide.nn.dynamics.activate", edited)
    model, x = tiny_model(torch.float32), torch.rand(2, 1, 9, 9)
    with pytest.warns(UserWarning, match=told) as warned:
        found = model(x).logits
    tiny_model(torch.float32)(x)
    assert len(warned) == 1
    with torch.no_grad():
        torch.testing.assert_close(found, model(x, record="rates_e").logits, rtol=0, atol=0)
    monkeypatch.setenv("TIDE_NATIVE", "require")
    with pytest.raises(InputError, match=told):
        model(x)


def test_the_comparison_leaves_the_model_and_the_random_stream_alone(tiny_model, automatic, monkeypatch):
    monkeypatch.setattr(ticks, "_DIFFERENCES", {})
    model = tiny_model(torch.float32).train().requires_grad_(False)
    model.cell.memory.eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    modes = [module.training for module in model.modules()]
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.inference_mode(), torch.autograd.graph.saved_tensors_hooks(pytest.fail, pytest.fail):
        assert model.tick_loop().library is automatic
    assert len(ticks._DIFFERENCES) == 1
    assert torch.equal(torch.get_rng_state(), random)
    assert modes == [module.training for module in model.modules()]
    assert all(bool((p.grad == 1).all()) and not p.requires_grad for p in model.parameters())
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0, equal_nan=True)


def test_weights_that_are_no_numbers_are_no_difference(tiny_model, automatic, monkeypatch):
    monkeypatch.setattr(ticks, "_DIFFERENCES", {})
    model = tiny_model(torch.float32)
    with torch.no_grad():
        model.cell.wilson_cowan.gain[3] = float("nan")
    assert model.tick_loop().library is automatic


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
