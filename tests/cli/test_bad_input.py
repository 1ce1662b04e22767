"""Bad input: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import tide
from tests.cli.test_commands import run as run
from tide.cli.eval import EvalOptions, PredictOptions
from tide.cli.main import main
from tide.cli.parse import SYNONYMS, option_names
from tide.cli.train import TrainOptions
from tide.errors import CheckpointError, InputError
from tide.models.presets import preset

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("command", "met"),
    [
        ("trian digits", "did you mean 'train'?"),
        ("train mnits", "did you mean 'mnist'?"),
        ("train", "no preset given"),
        ("train --data folder:mine --steps 5", "tide train photos --data folder:mine"),
        ("train --data mnist", "did you mean 'mnist'?"),
        ("train digits --core.tick 3", "did you mean '--core.ticks'?"),
        ("train digits --tick 3", "did you mean '--ticks'?"),
        ("train digits --lr 0.1", "unknown option '--lr'; here it is --train.learning-rate"),
        ("train digits --epochs 3", "here it is --steps (an epoch has as many steps as training images / batch)"),
        ("train digits --batch_size 8", "unknown option '--batch-size'; here it is --batch"),
        ("predict pretrained:digits x.png --gpu", "here it is --device"),
        ("compare digits --threads 0", "--threads must be at least 1, got 0"),
        ("train photos.small", "photos.small must be told where the photos are, got none; --data folder:DIR"),
        ("train digits --ticks 0", "core.ticks must be at least 1, got 0"),
        ("train digits --steps 0", "train.steps must be at least 1, got 0"),
        ("compare digits --steps 0", "--steps must be at least 1, got 0"),
        ("train digits --core.ticks 0", "core.ticks must be at least 1, got 0"),
        ("train digits --core.ticks many", "--core.ticks must be a whole number, got 'many'"),
        ("train digits --core.excitatory-fraction 1", "core.excitatory_fraction must be below 1"),
        ("train digits --core.excitatory-fraction 0", "core.excitatory_fraction must be above 0"),
        ("train digits --core.attention.heads 7", "core.attention.heads must divide core.attention.width"),
        ("train digits --core.tau-e -5", "core.tau_e must be above 0, got -5.0"),
        ("train digits --core.dt 6", "at most core.tau_e = 5.0 ms"),
        ("train digits --core.activation tanh", "--core.activation must be one of relu, softplus, got 'tanh'"),
        ("train digits --device cuda", "device 'cuda' is not available"),
        ("train digits --threads 0", "--threads must be at least 1, got 0"),
        ("train digits --threads 100000", "--threads must be at most 1024, got 100000"),
        ("train digits --ticks 100000000", "core.ticks must be at most 10,000, got 100000000"),
        ("train ctm.digits --ticks 100000000", "core.ticks must be at most 10,000, got 100000000"),
        ("train digits --core.neurons 1000000", "core.neurons must be at most 32,768"),
        ("train digits --backbone.grid 5000", "must be at most 128, got 5000; attention reads grid x grid tokens"),
        ("train digits --batch 1000000", "train.batch must be at most 65,536"),
        ("train digits --dry-run --batch 60000 --ticks 10000", "GiB are free; lower core.ticks"),
        ("eval run --halt-sweep --workers 2", "--workers must be left out with --halt-sweep"),
        ("robustness run --suite imagenet-r --images 20", "--images must be left out but for the suite corruptions"),
        ("train digits --data mnits", "mnist"),
        ("train digits --data folder:/nowhere", "/nowhere"),
        ("train mnist --data-dir .", "tide data fetch mnist"),
        ("train digits --out /dev/null/run", "cannot write run folder"),
        ("train digits --config missing.yaml", "cannot read configuration missing.yaml"),
        ("train --resume nowhere", "is not a run folder"),
        ("eval nowhere", "nowhere does not exist"),
        ("predict nowhere photo.png", "nowhere does not exist"),
        ("data fetch mnits", "did you mean 'mnist'?"),
        ("data fecth mnist", "did you mean 'fetch'?"),
        ("data fetch", "no data set given; name one of digits"),
    ],
)
def test_one_line_and_exit_code_two(
    command: str, met: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    if torch.cuda.is_available() and "cuda" in command:
        command = command.replace("cuda", "mps")
        met = met.replace("cuda", "mps")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDE_DATA", raising=False)
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("tide: error: ")
    assert met in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("core: {tick: 3}", "unknown setting 'core.tick'; did you mean 'ticks'?"),
        ("cor: {}", "did you mean 'core'?"),
        ("core: {ticks: 2.5}", "core.ticks must be of type int, got 2.5 (float)"),
        ("core: {norm: rmsnorm}", "got 'rmsnorm'; did you mean 'rms'?"),
        ("core: [", "is not valid YAML"),
        ("just text", "configuration must be a mapping of settings, got 'just text'"),
    ],
)
def test_bad_yaml(text: str, met: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert main(["train", "digits", "--config", str(path), "--print-config"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert met in line


def test_resume_with_other_settings_names_them(run: Path, capsys: Capture) -> None:
    assert main(["train", "--resume", str(run), "--core.ticks", "9"]) == 2
    assert "core.ticks is 3 there, 9 here" in capsys.readouterr().err


def test_a_resumed_run_goes_on_in_its_own_folder(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "--resume", str(run), "--out", str(tmp_path / "other")]) == 2
    assert f"the run goes on in {run}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_used_folder_is_not_overwritten(run: Path, capsys: Capture) -> None:
    before = (run / "last" / "model.safetensors").read_bytes()
    assert main(["train", "digits", "--out", str(run)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (run / "last" / "model.safetensors").read_bytes() == before


def test_data_of_another_kind_is_refused(run: Path, tmp_path: Path, capsys: Capture) -> None:
    from PIL import Image

    for split in ("train", "val"):
        for name in ("a", "b", "c"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (16, 16)).save(tmp_path / split / name / "0.png")
    assert main(["eval", str(run), "--data", f"folder:{tmp_path}"]) == 2
    assert "got 1 and 3 in" in capsys.readouterr().err


def damage_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))


def damage_truncate(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def damage_version(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))


def damage_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["core"]["neurons"] = 40
    (folder / "config.json").write_text(json.dumps(config))


def damage_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def damage_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "met"),
    [
        (damage_pickle, "is not a whole safetensors file"),
        (damage_truncate, "is not a whole safetensors file"),
        (damage_version, "must have format 2 for this version, got 99"),
        (damage_config, "must fit the configuration"),
        (damage_json, "it is damaged"),
        (damage_missing, "does not exist"),
    ],
)
def test_damaged_models_are_named(run: Path, tmp_path: Path, damage: Callable[[Path], None], met: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(run / "last", folder)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        tide.load(folder)
    assert met in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_told_from_a_data_set_and_from_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dogs" / "husky").mkdir(parents=True)
    assert main(["train", "photos.small", "--data", "dogs"]) == 2
    assert "got 'dogs'; for the folder dogs say folder:dogs" in capsys.readouterr().err
    assert main(["predict", "pretrained:digits", "dogs"]) == 2
    assert "folder dogs must hold photos itself, got none; name a folder in it: dogs/husky" in capsys.readouterr().err
    for name in ("b.png", "a.png"):
        Image.new("L", (16, 16)).save(tmp_path / "dogs" / "husky" / name)
    assert main(["predict", "pretrained:digits", "dogs/husky"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "dogs/husky/a.png",
        "dogs/husky/b.png",
    ]


def test_every_synonym_leads_to_an_option() -> None:
    options = {name for kind in (TrainOptions, PredictOptions, EvalOptions) for name in option_names(kind)}
    options |= set(option_names(TrainOptions, default=TrainOptions(settings=preset("digits"))))
    assert {f"--{here}" for here in SYNONYMS.values()} <= options
    assert not {f"--{elsewhere}" for elsewhere in SYNONYMS} & options


def test_a_setting_of_a_section_is_told_where_it_belongs() -> None:
    with pytest.raises(InputError, match=r"unknown setting 'ticks'; say core=dict\(ticks=5\), in YAML core: \{ticks"):
        tide.create("mnist", ticks=5)
