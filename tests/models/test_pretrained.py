"""Weights that come with the library: they are whole, as good as their cards say, and taken wherever a run is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import tide
from tide.cli.main import main
from tide.data.hold_out import hold_out
from tide.data.load import load as load_data
from tide.errors import CheckpointError, DataError, InputError
from tide.evaluate.accuracy import evaluate
from tide.models.card import CARD, digest
from tide.models.files import WEIGHTS
from tide.models.half import halved, rounded
from tide.models.pretrained import local, names, shipped
from tide.runs import reopen

HELD_OUT = {"digits": 250, "mnist": 5000, "fashion-mnist": 5000}  # as in the commands on the cards
PART = 500
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", names())
def test_the_accuracy_on_a_card_is_measured_again_on_a_part(name: str) -> None:
    model = tide.pretrained(name)
    assert model.card is not None
    assert f"--data.validation {HELD_OUT[name]}" in model.card.command
    assert model.card.images == HELD_OUT[name]
    try:
        splits = load_data(model.card.data, Path(os.environ["TIDE_DATA"]) if "TIDE_DATA" in os.environ else None)
    except DataError as error:
        pytest.skip(f"no {name} here: {error}")
    held = hold_out(splits, HELD_OUT[name], 42).test
    part = held.part(torch.arange(min(PART, len(held))))
    spread = (model.card.accuracy * (1 - model.card.accuracy) / len(part)) ** 0.5
    assert evaluate(model, part).accuracy == pytest.approx(model.card.accuracy, abs=3 * spread)


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
    with pytest.raises(CheckpointError, match=rf"checksum \w+\.\.\., {card['digest'][:12]}"):
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
    with pytest.raises(InputError, match=r"w_ee reaches 100000, at most 65504 is wanted in half precision"):
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


def test_their_place_is_that_of_a_folder() -> None:
    assert local(Path("pretrained:mnist")) == shipped("mnist")
    assert local(Path("runs/mnist")) == Path("runs/mnist")


def test_commands_take_them_as_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    data = reopen(Path("pretrained:digits")).data
    assert (data.name, len(data.test)) == ("digits", 359)
    assert main(["models"]) == 0
    assert "pretrained:digits" in capsys.readouterr().out
    assert main(["show", "pretrained:digits", "3", "--out", "thought.png"]) == 0
    assert (tmp_path / "thought.png").stat().st_size > 10_000
    assert main(["predict", "pretrained:mnits", "thought.png"]) == 2
    assert capsys.readouterr().err == "tide: error: no model 'mnits' comes with the library; did you mean 'mnist'?\n"
