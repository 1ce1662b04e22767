"""Weights that come with the library: they are whole, as good as their cards say, and taken wherever a run is."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from PIL import Image

import tide
from tests.scripts import load_benchmark
from tide.cli.main import main
from tide.config import Config, LossConfig, data_config
from tide.errors import CheckpointError, DataError, InputError
from tide.evaluate.answers import evaluate
from tide.models.saved import CARD, CONFIG, WEIGHTS, Card, digest, halved, local, names, rounded, shipped
from tide.models.thinker import Thinker
from tide.runs import reopen
from tide.runs.reopen import read_photo

DATA = Path(os.environ["TIDE_DATA"]) if "TIDE_DATA" in os.environ else None
HELD_OUT = {"digits": 250}  # as in the command on the card; other images: the test split
PART = 500
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", names())
def test_the_accuracy_on_a_card_is_measured_again_on_a_part(name: str) -> None:
    model = tide.pretrained(name)
    assert model.card is not None
    try:
        held, measured_on = load_benchmark("ship").held_out(config_of(model, HELD_OUT.get(name, 0)), DATA)
    except DataError as error:
        pytest.skip(f"no {name} here: {error}")
    assert (len(held), measured_on) == (model.card.images, model.card.measured_on)
    if name in HELD_OUT:
        assert f"--data.validation {HELD_OUT[name]}" in model.card.command
    measured = evaluate(model, held.part(torch.arange(min(PART, len(held)))))
    stated = {"accuracy": model.card.accuracy, "whole_accuracy": model.card.whole_accuracy}
    for measure, value in stated.items():
        spread = ((value or 0) * (1 - (value or 0)) / measured.images) ** 0.5
        assert getattr(measured, measure) == (value if value is None else pytest.approx(value, abs=3 * spread))


def config_of(model: Thinker, validation: int) -> Config:
    """Return an experiment with a shipped model, of which so many training images are held out."""
    assert model.card is not None
    parts = {name: getattr(model.config, name) for name in ("seed", "input", "output", "backbone", "core")}
    loss = LossConfig(objective="ctc" if model.config.output.emitted else "two_point")
    return Config(**parts, data=replace(data_config(model.card.data), validation=validation), loss=loss)


def test_all_of_them_are_small() -> None:
    sizes = [(shipped(name) / WEIGHTS).stat().st_size for name in names()]
    assert len(sizes) >= 3
    assert max(sizes) <= 3_000_000
    assert sum(sizes) <= 12_000_000


def test_damaged_weights_are_refused_and_an_unknown_name_is_met_with_the_nearest(tmp_path: Path) -> None:
    shutil.copytree(shipped("digits"), tmp_path / "copy")
    card = json.loads((tmp_path / "copy" / CARD).read_text())
    content = bytearray((tmp_path / "copy" / WEIGHTS).read_bytes())
    content[-1] ^= 1  # a number, not the header
    (tmp_path / "copy" / WEIGHTS).write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"must have the checksum in card.json, {card['digest'][:12]}\.\.\., got \w+\.\.\."
    ):
        tide.load(tmp_path / "copy")
    (tmp_path / "copy" / CARD).write_text('{"data": "digits"}')
    with pytest.raises(CheckpointError, match="is not a card of this library"):
        tide.load(tmp_path / "copy")
    with pytest.raises(InputError, match="no model 'digit' comes with the library; did you mean 'digits'"):
        tide.pretrained("digit")
    with pytest.raises(InputError, match=r"no model '\.\./\.\./models' comes with the library"):
        tide.load("pretrained:../../models")


def test_half_precision_rounds_once_and_the_digest_is_that_of_the_numbers() -> None:
    model = tide.create("digits")
    once = rounded(model)
    assert digest(once.state_dict()) == digest(halved(model.state_dict())) == digest(rounded(once).state_dict())
    assert digest(once.state_dict()) != digest(model.state_dict())
    with torch.no_grad():
        model.cell.wilson_cowan.w_ee[0, 0] = 1e5
    with pytest.raises(InputError, match=r"w_ee must be at most 65504 in half precision, got 100000"):
        halved(model.state_dict())


def test_a_card_goes_with_the_weights_it_speaks_of_and_no_further(tmp_path: Path) -> None:
    model = tide.pretrained("digits")
    model.save_pretrained(tmp_path / "same")
    assert tide.load(tmp_path / "same").card == model.card
    text = (tmp_path / "same" / "README.md").read_text()
    assert "library_name: tide-dynamics" in text
    assert f"{100 * model.card.accuracy:.2f} % of 250 images" in text
    with torch.no_grad():
        model.cell.wilson_cowan.w_ee += 0.01
    model.save_pretrained(tmp_path / "trained-on")
    assert tide.load(tmp_path / "trained-on").card is None
    assert "not stated" in (tmp_path / "trained-on" / "README.md").read_text()


def test_a_hub_gets_the_weights_and_the_card_that_a_folder_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network: what would be uploaded is looked at in the folder that is handed over."""
    uploaded: dict[str, bytes] = {}

    def upload(api: HfApi, *, repo_id: str, folder_path: str, **options: Any) -> str:
        uploaded.update({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})
        return repo_id

    monkeypatch.setattr(HfApi, "create_repo", lambda api, repo_id, **options: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    model = tide.pretrained("parity.16")
    assert model.push_to_hub("someone/parity") == "someone/parity"
    model.save_pretrained(tmp_path)
    assert uploaded == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert uploaded.keys() == {CARD, CONFIG, WEIGHTS, "README.md"}
    assert json.loads(uploaded[CARD]) == json.loads((shipped("parity.16") / CARD).read_text())
    text = uploaded["README.md"].decode()
    assert f"| accuracy | {model.card.summary()}: samples drawn" in text
    assert "% of places and 99.96 % of whole answers of 5,000 drawn samples" in text
    assert "model.predict(sequences, halt=0.9)" in text
    assert "image-classification" not in text


def test_a_card_without_what_it_must_say_is_damaged(tmp_path: Path) -> None:
    content = json.loads((shipped("parity.16") / CARD).read_text())
    for changed in ({"limits": None}, {"whole_accuracy": "all"}):
        (tmp_path / CARD).write_text(json.dumps(content | changed))
        with pytest.raises(CheckpointError, match="is not a card of this library"):
            Card.read(tmp_path / CARD)


def test_a_card_of_a_newer_version_is_read_with_a_warning(tmp_path: Path) -> None:
    content = (shipped("parity.16") / CARD).read_text()
    (tmp_path / CARD).write_text(json.dumps(json.loads(content) | {"more": 1}))
    with pytest.warns(UserWarning, match=r"says more, which this version does not know"):
        assert Card.read(tmp_path / CARD) == Card.read(shipped("parity.16") / CARD)


def test_their_place_is_that_of_a_folder() -> None:
    assert local(Path("pretrained:mnist")) == shipped("mnist")
    assert local(Path("runs/mnist")) == Path("runs/mnist")


@pytest.mark.parametrize(
    ("photo", "told"),
    [
        ((28, 28, (0, 0, 0)), None),
        ((40, 56, (0, 0, 0)), None),
        ((375, 500, (0, 0, 0)), "375 x 500 pixels"),
        ((28, 28, (90, 0, 30)), "colours"),
        ((28, 28, (250, 250, 250)), "a background of brightness 1.0"),
    ],
)
def test_a_photo_unlike_training_s_gets_the_limits_on_the_card(
    photo: tuple[int, int, Any], told: str | None, tmp_path: Path, capsys: Capture
) -> None:
    path = str(tmp_path / "photo.png")
    Image.new("RGB", photo[:2], photo[2]).save(path)
    assert main(["predict", "pretrained:mnist", path]) == 0
    warned = capsys.readouterr().err
    assert warned == ("" if told is None else f"tide: warning: {path}: {told}, {warned.partition(f'{told}, ')[2]}")
    assert ("anything else gets an answer, too" in warned) == (told is not None)
    with warnings.catch_warnings(record=True) as seen:
        read_photo(tide.pretrained("mnist"), Path(path))
    assert len(seen) == (told is not None)


def test_commands_take_them_as_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    data = reopen(Path("pretrained:digits")).data
    assert (data.name, len(data.test)) == ("digits", 359)
    assert main(["models"]) == 0
    assert "pretrained:digits" in capsys.readouterr().out
    assert main(["show", "pretrained:digits", "3", "--out", "thought.png"]) == 0
    assert (tmp_path / "thought.png").stat().st_size > 10_000
    assert main(["predict", "pretrained:parity.16", "1" * 16]) == 0
    assert f"\n{'1' * 16}  odd even odd even" in capsys.readouterr().out
    assert main(["show", "pretrained:parity.16", "3", "--out", "bits.png"]) == 0
    capsys.readouterr()
    assert main(["predict", "pretrained:mnits", "thought.png"]) == 2
    assert capsys.readouterr().err == "tide: error: no model 'mnits' comes with the library; did you mean 'mnist'?\n"
