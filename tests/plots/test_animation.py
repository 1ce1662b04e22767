"""A thought as an animation: a frame for every tick, small files, one line where it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tide
from tide.cli.main import main
from tide.data import read_splits
from tide.data.drawn.mazes import walk
from tide.errors import InputError
from tide.models.inputs import to_float
from tide.plots.animation import COLOURS, SIZE, Moving, frames, write_animation
from tide.plots.thought import record

MOST = 1_500_000  # bytes
INK = (29, 33, 41)


@pytest.fixture(scope="module")
def moving() -> Moving:
    model, image = tide.pretrained("digits"), torch.zeros(1, 1, 16, 16)
    image[..., 2:14, 7:9] = 1.0
    with torch.no_grad():
        return Moving.from_output(image[0], model(image, record=record(model)), model)


def test_every_tick_is_a_frame_of_its_own_and_certainty_grows_to_the_right(moving: Moving) -> None:
    made = frames(moving)
    assert len(made) == 10
    assert {frame.size for frame in made} == {SIZE}
    strips = [np.asarray(frame)[345:390, :, :].astype(int) for frame in made]
    ends = [int((np.abs(strip - INK).sum(2) < 60).any(0).nonzero()[0].max()) for strip in strips]
    assert ends == sorted(set(ends))  # where the curve ends, tick after tick
    assert np.abs(np.asarray(made[0]).astype(int) - np.asarray(made[-1])).sum() > 0


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_files_hold_all_ticks_and_are_small(moving: Moving, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"thought.{kind}"
    write_animation(path, frames(moving))
    with Image.open(path) as read:
        assert read.n_frames == 10
        assert len(read.convert("RGB").getcolors(1 << 20)) <= (COLOURS if kind == "gif" else 1 << 20)
    assert 10_000 < path.stat().st_size <= MOST


def test_mp4_needs_ffmpeg(moving: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ffmpeg"):
        write_animation(tmp_path / "thought.mp4", frames(moving))
        assert b"ftyp" in (tmp_path / "thought.mp4").read_bytes()[:16]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="ffmpeg must be installed"):
        write_animation(tmp_path / "thought.mp4", frames(moving))


def test_models_without_populations_or_pairs_move_too(tiny_model: Any) -> None:
    for kind in ("ctm", "lstm"):
        model, image = tiny_model(torch.float32, kind=kind).eval(), torch.rand(1, 1, 9, 9)
        with torch.no_grad():
            made = Moving.from_output(image[0], model(image, record=record(model)), model)
        assert (made.pairs is None) == (kind == "lstm")
        assert len(frames(made)) == 4


def test_a_maze_shows_the_answered_way_at_each_tick_and_parity_a_tile_for_every_prefix() -> None:
    for preset, positions in (("maze.9", 20), ("parity.16", 16)):
        model = tide.create(preset).eval()
        data = read_splits(tide.preset(preset)).test
        sample = data.select(slice(2, 3))
        inputs = to_float(sample.images)
        with torch.no_grad():
            out = model(inputs, record=record(model))
        made = Moving.from_output(inputs[0], out, model, sample.labels[0])
        ticks = model.config.core.ticks
        assert made.probabilities.shape == (model.config.output.classes, positions, ticks)
        assert made.right is not None
        assert made.right.tolist() == sample.labels[0].tolist()
        if preset == "maze.9":
            assert made.routes is not None
            for tick in (0, ticks - 1):
                told = walk(sample.images[:1], out.logits[:1, :, :, tick].argmax(1)).places[0]
                assert made.routes[tick].tolist() == told.tolist()
        else:
            assert made.image.shape == (4, 4, 1)
            assert ((made.image > 0.5).flatten() == (inputs[0] > 0).numpy()).all()
        assert len(frames(made)) == ticks


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        (["--animate", "out.gif"], "no image given, --animate shows the thought about one"),
        (["1", "--animate", "out.avi"], "--animate must end in one of .gif, .webp, .mp4, got out.avi"),
        (["1", "--animate", "/nowhere/out.gif"], "cannot write /nowhere/out.gif: No such file or directory"),
    ):
        assert main(["show", "pretrained:digits", *arguments]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
