"""No answer from damaged weights or pixels, a word where the input is not what the model was made for."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import tide
import tide.data
from tide.config import CoreConfig, FolderConfig
from tide.errors import CheckpointError, InputError
from tide.files import finite
from tide.models import load as load_module
from tide.models.saved import WEIGHTS, load_weights, read_model, write_model
from tide.runs.reopen import reopen


def test_weights_that_are_not_finite_are_refused_and_named(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32)
    state = model.state_dict()
    state["cell.head.layers.4.bias"][1] = torch.nan
    write_model(tmp_path, model.config, state)
    with pytest.raises(CheckpointError, match=r"must be finite, got NaN or infinity in cell\.head\.layers\.4\.bias"):
        tide.load(tmp_path)


def test_weights_outside_their_bounds_are_named_once(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32)
    with torch.no_grad():
        model.cell.wilson_cowan.w_ee[0, 0] = -0.5
        model.cell.lateral.strength.fill_(-1.0)
    write_model(tmp_path, model.config, model.state_dict())
    with pytest.warns(UserWarning, match=r"w_ee and 1 more in .* outside its bounds.*project_") as seen:
        tide.load(tmp_path)
    assert len(seen) == 1
    model.project_()
    write_model(tmp_path, model.config, model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(model, read_model(tmp_path)[1], tmp_path / WEIGHTS)


@pytest.mark.parametrize("halt", [None, 0.9])
def test_an_answer_that_is_not_finite_is_no_answer(tiny_model, halt) -> None:
    model = tiny_model(torch.float32)
    with torch.no_grad():
        model.cell.head.layers[4].bias[0] = torch.nan
    with pytest.raises(InputError, match=r"finite certainty, got 2 of 2 without"):
        model.predict(torch.rand(2, 1, 9, 9), halt=halt)


def test_pixels_on_the_scale_to_255_get_a_warning_that_names_the_fix(tiny_model) -> None:
    model, images = tiny_model(torch.float32).eval(), torch.rand(2, 1, 9, 9)
    with pytest.warns(UserWarning, match=r"pixels should lie in \[0, 1\], got up to 2\d\d.*images / 255"):
        model(images * 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(images)


def test_predict_scales_images_of_another_size_and_says_so(tiny_model) -> None:
    model = tiny_model(torch.float32).eval()
    images = torch.rand(2, 1, 18, 27)
    scaled = torch.nn.functional.interpolate(images, (9, 9), mode="bilinear", antialias=True, align_corners=False)
    with pytest.warns(UserWarning, match="images are 18x27 pixels, the model was made for 9x9; they are scaled"):
        found = model.predict(images)
    assert torch.equal(found.probabilities, model.predict(scaled).probabilities)
    with pytest.warns(UserWarning, match="on others it errs"):
        model(images)


@pytest.mark.parametrize(
    ("call", "met"),
    [
        (lambda model, x: model(x, record=3), "record must be names of quantities, like ('attention',), got 3"),
        (lambda model, x: model(x, ticks=1.5), "ticks must be a whole number of at least 1, got 1.5"),
        (lambda model, x: model(x, ticks=True), "ticks must be a whole number of at least 1, got True"),
        (
            lambda model, x: model.predict(x, halt="x"),
            "halt must be a certainty above 0 and at most 1, got 'x'; 0.9 is usual",
        ),
        (lambda model, x: model.predict(x, halt=True), "halt must be a certainty above 0 and at most 1, got True"),
        (lambda model, x: model.predict(x, halt=90), "halt must be a certainty above 0 and at most 1, got 90"),
        (
            lambda model, x: model.predict(x, halt=float("nan")),
            "halt must be a certainty above 0 and at most 1, got nan",
        ),
        (lambda model, x: model.predict([1, 2]), "images must be a torch.Tensor, got a list"),
        (lambda model, x: tide.load(5), "path must be the folder of a model or hub:owner/name, got 5"),
        (lambda model, x: tide.load(None), "path must be the folder of a model or hub:owner/name, got None"),
        (lambda model, x: tide.load("runs", checkpoint="lst"), "checkpoint must be best or last, got 'lst'"),
        (lambda model, x: model(x, record=[3]), "record must name quantities of this model, got 3"),
        (lambda model, x: model(x, tbptt="all"), "tbptt must be 0 (all ticks) or more, got 'all'"),
        (lambda model, x: model.save_pretrained(5), "save_directory must be a path (a text or a pathlib.Path), got 5"),
        (
            lambda model, x: model.save_pretrained(""),
            "save_directory must be a path (a text or a pathlib.Path), got ''",
        ),
        (lambda model, x: model.save_pretrained(__file__), "cannot write"),
        (lambda model, x: tide.create(5), "unknown preset 5"),
        (lambda model, x: reopen(5), "path must be a path (a text or a pathlib.Path), got 5"),
        (lambda model, x: tide.data.load(5), "data set must be a name, folder:DIR or hub:DIR, got 5"),
        (lambda model, x: tide.data.load("mnist", 3), "directory must be a path (a text or a pathlib.Path), got 3"),
        (lambda model, x: tide.data.decode(5, 8, 3), "photo must be a path (a text or a pathlib.Path), got 5"),
        (lambda model, x: tide.data.decode(__file__, "8", 3), "photo size must be at least 1, got '8'"),
        (lambda model, x: tide.data.decode(__file__, 8, 3, crop=0), "photo crop must be above 0 and at most 1, got 0"),
        (lambda model, x: tide.register("task", 3), "task must be registered by a name, got 3"),
        (lambda model, x: tide.register("task", "mnist"), "task must have a name of its own, got 'mnist'"),
        (lambda model, x: FolderConfig(name=Path("photos")), "data.name must be a text, got PosixPath('photos')"),
        (lambda model, x: CoreConfig(tau_e="5"), "core.tau_e must be a finite number, got '5'"),
    ],
)
def test_values_of_another_type_are_refused_in_one_line(tiny_model, call, met) -> None:
    with pytest.raises(InputError) as caught:
        call(tiny_model(torch.float32), torch.rand(2, 1, 9, 9))
    assert met in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(tiny_model) -> None:
    model, images = tiny_model(torch.float32).eval(), torch.rand(2, 1, 9, 9)
    assert model(images, ticks=np.int64(3)).logits.shape[2] == 3
    assert model.predict(images, halt=np.float32(0.5), ticks=np.int32(2)).ticks.max() <= 2


def test_a_mistyped_path_asks_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    def snapshot(name: str, *, local_files_only: bool) -> str:
        asked.append((name, local_files_only))
        raise OSError("not there")

    monkeypatch.setattr(load_module, "snapshot_download", snapshot)
    with pytest.raises(CheckpointError, match=r"runs/typo does not exist.*hub:runs/typo for a model on the hub"):
        tide.load("runs/typo")
    with pytest.raises(CheckpointError, match="the hub does not give owner/name"):
        tide.load("hub:owner/name")
    assert asked == [("runs/typo", True), ("owner/name", False)]
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="does not exist"):
        tide.load("~/nothing")


@pytest.mark.parametrize("content", ["[1]", "3", "{", "[" * 100_000])
def test_a_configuration_that_is_no_mapping_is_named_in_one_line(tiny_model, tmp_path: Path, content: str) -> None:
    model = tiny_model(torch.float32)
    write_model(tmp_path, model.config, model.state_dict())
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json is not a configuration of this library") as caught:
        tide.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_json_has_no_nan() -> None:
    value = {"a": float("nan"), "b": [1.0, float("inf"), {"c": -float("inf")}], "d": "nan", "e": (2, None)}
    assert finite(value) == {"a": None, "b": [1.0, None, {"c": None}], "d": "nan", "e": [2, None]}
    json.dumps(finite(value), allow_nan=False)


def test_threads_that_predict_at_once_move_no_statistics_of_a_model_in_training_mode(tiny_model) -> None:
    """One that ends must not put the others back into training mode."""
    model, images = tiny_model(torch.float32).train(), torch.rand(4, 1, 9, 9)
    model.cell.memory.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.named_buffers()}
    begun, joined = threading.Event(), threading.Event()

    def meet(*_: object) -> None:
        if threading.current_thread() is first:
            begun.set()
            joined.wait(10)
        else:
            joined.set()
            first.join(10)

    model.backbone.stem[0].register_forward_pre_hook(meet)
    first = threading.Thread(target=model.predict, args=(images,))
    first.start()
    begun.wait(10)
    model.predict(images)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
