"""Exported graphs: equal to torch at every tick, in ONNX and as they are; the documented example runs."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tide
from tests.scripts import load_benchmark
from tide.backbones.images import ShallowHRF
from tide.cli.main import main
from tide.config import HRFConfig, SequenceConfig
from tide.data import drawn_test, to_float
from tide.errors import InputError
from tide.export.graphs import NEXT, Graph, averages, can_intervene, exportable, graphs, input_name
from tide.export.onnx import check_answers, check_installed, to_onnx
from tide.models.thinker import Thinker
from tide.nn.dynamics import RMS_EPSILON

Run = Callable[[str, Mapping[str, Any]], dict[str, Any]]
DOCS = Path(__file__).parents[2] / "docs"
MORE_TICKS = 2  # than the model was made for


def thought(model: Thinker, run: Run, images: Any, ticks: int, **fixed: Any) -> dict[str, list[Any]]:
    """Walk over ``ticks`` with three graphs; return every quantity that they give, by tick."""
    values, seen = {**fixed, **run("begin", {input_name(model.config): images, **fixed})}, {}
    for _ in range(ticks):
        values |= run("tick", values)
        values |= run("read", values)
        values |= {name.removeprefix(NEXT): value for name, value in values.items() if name.startswith(NEXT)}
        for name in (*model.cell.observables, "logits", "certainty"):
            seen.setdefault(name, []).append(torch.as_tensor(values[name]))
    return seen


def in_torch(made: Mapping[str, Graph]) -> Run:
    return lambda name, values: made[name](**{wanted: values[wanted] for wanted in made[name].inputs})


def assert_equal_at_every_tick(model: Thinker, seen: dict[str, list[Tensor]], images: Tensor, within: float) -> None:
    ticks = len(seen["logits"])
    with torch.no_grad():
        out = model(images, record=model.cell.observables, ticks=ticks)
    expected = {**out.trace, "logits": out.logits.movedim(-1, 1), "certainty": out.certainty}
    for name, values in expected.items():
        torch.testing.assert_close(torch.stack(seen[name], 1), values, atol=within, rtol=within, msg=name)


@pytest.mark.parametrize("changed", [{}, {"memory": {"enabled": False}}, {"kind": "ctm"}, {"kind": "lstm"}])
def test_three_graphs_make_the_thought_of_the_model(tiny_model: Any, changed: dict[str, Any]) -> None:
    model = tiny_model(**changed).eval()
    images = torch.rand(3, 1, 9, 9, dtype=torch.float64)
    made = graphs(model.float())  # the example is float32; the functions take what they are given
    seen = thought(model, in_torch(made), images.float(), model.config.core.ticks + MORE_TICKS)
    assert_equal_at_every_tick(model, seen, images.float(), 1e-5)


@pytest.mark.parametrize("task", ["parity.16", "ctm.parity.16", "sort.8", "ctm.sort.8", "maze.9"])
def test_three_graphs_make_the_thought_about_a_task(task: str) -> None:
    model = tide.create(task).eval()
    shown = to_float(drawn_test(task.removeprefix("ctm.").partition(".")[0], model.config).select(slice(3)).images)
    seen = thought(model, in_torch(graphs(model)), shown, 3)
    assert_equal_at_every_tick(model, seen, shown, 1e-5)


def test_what_is_shown_part_by_part_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="the model must take images or a sequence, got a schedule"):
        graphs(tide.create("qamnist.small"))


def test_interventions_at_ones_change_nothing_and_silenced_neurons_are_silent(tiny_model: Any) -> None:
    model = tiny_model(torch.float32).eval()
    run, images, n_e = in_torch(graphs(model, interventions=True)), torch.rand(2, 1, 9, 9), model.config.core.n_e
    ones, full = torch.ones(model.config.core.neurons), torch.ones(())
    seen = thought(model, run, images, 4, active=ones, inhibition=full)
    assert_equal_at_every_tick(model, seen, images, 1e-5)

    active = ones.clone()
    active[:3] = 0
    active[n_e] = 0
    silenced = thought(model, run, images, 4, active=active, inhibition=full)
    for name, index in (("rates_e", slice(0, 3)), ("corrected_e", slice(0, 3)), ("corrected_i", slice(0, 1))):
        assert all(tick[:, index].abs().max() == 0 for tick in silenced[name]), name
    assert (torch.stack(silenced["corrected_e"])[..., 3:] > 0).any()


def test_without_inhibition_e_hears_neither_i_nor_its_pool(tiny_model: Any) -> None:
    """The factor at zero is the network whose W_EI and γ are zero."""
    model = tiny_model(torch.float32).eval()
    images = torch.rand(2, 1, 9, 9)
    run = in_torch(graphs(model, interventions=True))
    seen = thought(model, run, images, 4, active=torch.ones(model.config.core.neurons), inhibition=torch.zeros(()))
    with torch.no_grad():
        model.cell.wilson_cowan.w_ei.zero_()
        model.cell.lateral.strength.zero_()
    assert_equal_at_every_tick(model, seen, images, 1e-5)


def test_neurons_that_fire_without_input_are_not_silenced(tiny_model: Any) -> None:
    softplus = tiny_model(activation="softplus")
    with pytest.raises(
        InputError, match=r"rate must be 0 at gain 0 to be silenced, got 0\.\d+ with core\.activation soft"
    ):
        graphs(softplus, interventions=True)
    assert [can_intervene(model) for model in (softplus, tiny_model(), tiny_model(norm="layer"))] == [False, True, True]
    with pytest.raises(InputError, match="the core must be a TideCell, got a CTMCell"):
        graphs(tiny_model(kind="ctm"), interventions=True)


@pytest.mark.parametrize(("size", "grid"), [(14, 8), (8, 8), (5, 8), (16, 8)])
def test_matrices_of_averages_are_adaptive_pooling(size: int, grid: int) -> None:
    images, matrix = torch.rand(2, 3, size, size), averages(size, grid)
    torch.testing.assert_close(matrix @ images @ matrix.t(), nn.AdaptiveAvgPool2d(grid)(images))


def test_the_exported_backbone_is_the_backbone_and_leaves_it_alone() -> None:
    backbone = ShallowHRF(1, HRFConfig(width=4, branch_width=3, features=8)).eval()
    before, images = list(backbone.state_dict()), torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(exportable(backbone, images)(images), backbone(images), atol=1e-5, rtol=1e-5)
    assert list(backbone.state_dict()) == before
    assert isinstance(backbone.branches[0][-1], nn.AdaptiveAvgPool2d)


@pytest.fixture(scope="module", params=["digits", "ctm.digits", "lstm.parity.16"])
def exported(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Thinker, Path]:
    """A small network of each kind and the folder that the command wrote for it."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"no {module}: pip install 'tide-dynamics[export]'")
    folder = tmp_path_factory.mktemp("export")
    small: dict[str, Any] = {"neurons": 40, "ticks": 6}
    backbone: dict[str, Any] = {"features": 8}
    if request.param == "digits":
        small |= {"synchrony": {"pairs_ee": 40, "pairs_ei": 20, "pairs_ii": 10, "width": 8}}
        backbone |= {"width": 4, "branch_width": 2}
    elif request.param == "ctm.digits":  # exporting a backbone takes torch longest
        small |= {"synchrony_out": 30, "synchrony_action": 30}
        backbone |= {"kind": "none"}
    model = tide.create(request.param, core=small, backbone=backbone).eval()
    model.save_pretrained(folder / "saved")
    assert main(["export", str(folder / "saved"), "--out", str(folder / "onnx")]) == 0
    return model, folder / "onnx"


def test_onnx_equals_torch_at_every_tick(exported: tuple[Thinker, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = exported
    names = _example(folder, monkeypatch)
    sequences = isinstance(model.config.input, SequenceConfig)
    images = torch.rand(3, 1 if model.config.core.kind == "tide" else 8, 16, 16)
    shown = images[:, 0, 0].round() * 2 - 1 if sequences else images
    seen = thought(model, names["run"], shown.numpy(), 6 + MORE_TICKS)
    assert_equal_at_every_tick(model, seen, shown, 1e-5)
    if model.config.core.kind == "tide":  # else a population whose h is 0 would be divided by 0
        stored = importlib.import_module("onnx").load(folder / "tick.onnx").graph.initializer
        numbers = [importlib.import_module("onnx.numpy_helper").to_array(part) for part in stored]
        assert any(number.size == 1 and number.item() == np.float32(RMS_EPSILON) for number in numbers)
    session = names["onnxruntime"].InferenceSession(folder / "whole.onnx")
    stacked = {name: np.stack(seen[name][:6], 1) for name in model.cell.used_by("readout")}
    for values, name in zip(session.run(None, stacked), ("logits", "certainty"), strict=True):
        by_tick = torch.stack(seen[name][:6], -1).numpy()
        np.testing.assert_allclose(values, by_tick, atol=1e-5, rtol=1e-5)
    if sequences:
        return  # the documented example classifies images
    labels, certainty, ticks = names["think"](images.numpy(), halt=2.0)
    answer = model.predict(images)
    assert (labels, ticks) == ([str(int(label)) for label in answer.label], 6)
    np.testing.assert_allclose(certainty, answer.certainty.numpy(), atol=1e-5)


def test_graphs_that_answer_otherwise_than_the_model_are_refused(exported: tuple[Thinker, Path]) -> None:
    model, folder = copy.deepcopy(exported[0]), exported[1]
    load = importlib.import_module("onnx").load
    protos = {name: load(folder / f"{name}.onnx") for name in ("begin", "tick", "read", "whole")}
    check_answers(model, protos)
    with torch.no_grad():
        [*model.cell.head.parameters()][-1].add_(1)
    with pytest.raises(InputError, match="the graphs begin, tick and read must answer as the model does"):
        check_answers(model, protos)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pretrained:digits"], "nothing to write: give --out FOLDER for ONNX, or --html FILE for a page"),
        (["--out", "x"], "no run given"),
        (["pretrained:digits", "pretrained:mnist", "--out", "x"], "--out takes one run, got 2"),
        (["nowhere", "--out", "x"], "nowhere does not exist"),
        (["pretrained:digits", "pretrained:mnist", "--html", "x.html"], "all models must take and answer the same"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx must be installed; pip install 'tide-dynamics\[export\]'"):
        check_installed("onnx")


@pytest.mark.parametrize("exported", ["digits"], indirect=True)
def test_the_benchmark_of_one_image_compares_three_ways_that_agree(
    exported: tuple[Thinker, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported[1]
    benchmark = load_benchmark("single_image")
    monkeypatch.setattr(benchmark, "write_folder", lambda model, to: shutil.copytree(folder, to, dirs_exist_ok=True))
    settings = benchmark.Settings(model=str(folder.parent / "saved"), rounds=2)
    ways = benchmark.measure(settings)["ways"]
    assert list(ways) == ["eager", "native", "onnxruntime"]
    assert ways["eager"]["times_as_fast_as_eager"] == 1
    assert all(way["milliseconds_least"] > 0 for way in ways.values())


def _example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the documented example beside the exported folder; return its names."""
    block = re.search(r"```python\n(.*?)```", (DOCS / "export.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    assert "torch" not in block[1]
    names: dict[str, Any] = {}
    exec(block[1].replace('"exported"', repr(str(folder))), names)
    return names


@pytest.mark.parametrize("retina", [False, True])
def test_eyes_that_adapt_see_the_same_pixels_in_onnx(retina: bool) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"no {module}: pip install 'tide-dynamics[export]'")
    eyes = {"normalise": "image", "retina": {"enabled": retina}}
    backbone = {"width": 4, "branch_width": 2, "features": 8}
    model = tide.create("digits", input=eyes, backbone=backbone, core={"ticks": 2}).eval()
    graph = graphs(model)["begin"]
    session = importlib.import_module("onnxruntime").InferenceSession(to_onnx(graph).SerializeToString())
    names = [output.name for output in session.get_outputs()]
    for images in (torch.rand(2, 1, 16, 16), torch.full((2, 1, 16, 16), 0.3), 0.7 + 0.3 * torch.rand(2, 1, 16, 16)):
        found = dict(zip(names, session.run(names, {session.get_inputs()[0].name: images.numpy()}), strict=True))
        with torch.no_grad():
            context = model.begin(images).context
        torch.testing.assert_close(torch.from_numpy(found["state_keys"]), context.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(found["state_values"]), context.values, rtol=1e-4, atol=1e-5)
