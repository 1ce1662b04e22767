"""The commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import tide
from tests.train.conftest import TINY
from tide.cli.main import main
from tide.config import Config
from tide.config.io import flatten, from_dict, read_yaml
from tide.models.presets import preset

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    flat = {key.replace("_", "-"): str(value) for key, value in flatten(TINY).items()} | {"train.steps": "4"}
    options = [part for key, value in flat.items() for part in (f"--{key}", value)]
    assert main(["train", "digits", *options, "--out", str(folder), "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.effect_noise((40, 25), 90).convert("RGBA").save(path)
    return path


def test_help_starts_fast_and_without_torch() -> None:
    code = "import sys; from tide.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert "train" in done.stdout


def test_help_of_train_lists_settings_without_torch() -> None:
    code = (
        "import sys; from tide.cli.main import main\n"
        "try: main(['train', 'mnist', '--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "--core.tau-e" in done.stdout


def test_print_config_reads_back_exactly(tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "mnist", "--core.ticks", "25", "--train.steps", "1000", "--print-config"]) == 0
    path = tmp_path / "config.yaml"
    path.write_text(capsys.readouterr().out)
    config = read_yaml(Config, path)
    assert config == from_dict(
        Config,
        {
            "core": {"ticks": 25},
            "train": {"steps": 1000, "warmup": 50, "curriculum_start": 50, "curriculum_length": 100},
        },
        base=preset("mnist"),
    )
    assert main(["train", "--config", str(path), "--print-config"]) == 0
    assert capsys.readouterr().out == path.read_text()


@pytest.mark.parametrize("last", [["--data", "mnist"], ["--data=mnist"]])
def test_of_an_option_given_twice_the_last_counts_in_all_it_sets(last: list[str], capsys: Capture) -> None:
    def settings(*options: str) -> str:
        assert main(["train", "digits", *options, "--print-config"]) == 0
        return capsys.readouterr().out

    assert settings("--data", "cifar10", *last) == settings("--data", "mnist") != settings("--data", "cifar10")
    assert settings("--backbone.kind", "hrf", "--backbone.kind=resnet18") == settings("--backbone.kind", "resnet18")


def test_options_come_on_top_of_the_file(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("core: {ticks: 12, tau_e: 4}\n")
    assert main(["train", "digits", "--config", str(path), "--core.ticks", "7", "--print-config"]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    core = read_yaml(Config, tmp_path / "printed.yaml").core
    assert (core.ticks, core.tau_e, core.neurons) == (7, 4.0, 128)


def test_eval_and_a_loaded_model_agree(run: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "numbers.json"
    assert main(["eval", str(run), "--checkpoint", "last", "--out", str(out), "--device", "cpu"]) == 0
    assert "most certain tick" in capsys.readouterr().out
    numbers = json.loads(out.read_text())
    assert numbers["images"] == 359
    assert numbers["accuracy"] == json.loads((run / "results.json").read_text())["last_accuracy"]
    assert numbers["accuracy_last_tick"] == numbers["accuracy_per_tick"][-1]


def test_load_reads_runs_and_saved_models(run: Path, tmp_path: Path) -> None:
    best, last = tide.load(run), tide.load(run, checkpoint="last")
    assert not best.training
    last.save_pretrained(tmp_path / "saved")
    again = tide.load(tmp_path / "saved")
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(again(images).logits, last(images).logits)


def test_predict_names_label_certainty_and_ticks(run: Path, photo: Path, capsys: Capture) -> None:
    assert main(["predict", str(run), str(photo), str(photo), "--halt", "0.01", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        path, label, _, certainty, _, ticks = line.split()
        assert path == str(photo)
        assert label in list("0123456789")
        assert 0 <= float(certainty) <= 1
        assert 1 <= int(ticks) <= 3


@pytest.mark.parametrize("number", [False, True])
def test_show_draws_one_picture(run: Path, photo: Path, tmp_path: Path, number: bool) -> None:
    out = tmp_path / "thought.png"
    assert main(["show", str(run), "3" if number else str(photo), "--out", str(out), "--device", "cpu"]) == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 1000


def test_dry_run_shows_shapes_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--core.ticks", "3", "--dry-run", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for what in ("tokens", "(64, 64, 64)", "parameters: dynamics", "peak memory", "estimated time"):
        assert what in shown
    assert list(tmp_path.iterdir()) == []


def test_presets_lists_all(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    # A few of them: half a second each goes into counting their operations.
    monkeypatch.setattr("tide.models.presets.PRESETS", ("digits", "mnist", "anytime.mnist", "lstm.digits"))
    assert main(["presets"]) == 0
    shown = capsys.readouterr().out
    assert "mnist" in shown
    assert "205 E + 51 I" in shown
    assert "50,000" in shown


def test_a_photo_folder_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for split in ("train", "val"):
        for shade, name in ((40, "dark"), (220, "light")):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for k in range(4):
                Image.new("RGB", (20, 30), (shade, shade + k, shade)).save(
                    tmp_path / "photos" / split / name / f"{k}.png"
                )
    monkeypatch.chdir(tmp_path)
    flat = flatten(TINY) | {"train.steps": 2, "train.batch": 4}
    options = [part for key, value in flat.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    assert main(["train", "digits", "--data", "folder:photos", *options, "--out", "run", "--device", "cpu"]) == 0
    model = tide.load("run", checkpoint="last")
    assert model.config.output.labels == ("dark", "light")
    monkeypatch.chdir(tmp_path / "photos")  # the run knows its photos from anywhere
    assert main(["train", "--resume", str(tmp_path / "run"), "--device", "cpu"]) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    for option, told in (("--dry-run", "estimated time for 2 steps"), ("--print-config", "neurons:")):
        assert main(["train", "--resume", str(tmp_path / "run"), option, "--device", "cpu"]) == 0
        assert told in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_help_names_every_kind_and_shows_none_as_a_default(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["train", "digits", "--help"])
    shown = capsys.readouterr().out
    assert "--backbone.kind {hrf,deep_hrf,resnet18," in shown
    assert "--core.kind {tide,ctm,lstm" in shown
    assert "--data STR" in shown
    assert "{None}" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--core.ticks", "2.5"], "--core.ticks must be a whole number, got '2.5'"),
        (["--train.clip.total", "x"], "--train.clip.total must be a number, got 'x'"),
        (
            ["--core.synchrony.time-scales", "a", "b"],
            "--core.synchrony.time-scales: Could not parse",
        ),
        (["--core.guarantee", "lsd"], "--core.guarantee must be one of none, contraction, lds, got 'lsd'"),
        (["--core.kind", "--dry-run"], "Missing value for argument '--core.kind'"),
        (["--data.flip", "yes"], "Unrecognized options: yes"),
    ],
)
def test_what_the_parser_refuses_is_said_as_everything_is(options: list[str], said: str, capsys: Capture) -> None:
    assert main(["train", "digits", *options]) == 2
    assert f"tide: error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["none", "None", "NULL"])
def test_what_is_optional_is_left_out_by_a_word(word: str, tmp_path: Path, capsys: Capture) -> None:
    options = ["--train.clip.total", word, "--core.synchrony.time-scales", word, "--print-config"]
    assert main(["train", "anytime.digits", *options]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["train"]["clip"]["total"] is printed["core"]["synchrony"]["time_scales"] is None
    (tmp_path / "file.yaml").write_text(f"train: {{clip: {{total: {word}}}}}")
    assert read_yaml(Config, tmp_path / "file.yaml").train.clip.total is None
