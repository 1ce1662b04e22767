"""Extensions in installed packages, found by their entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tide.cli.main import main
from tide.config.base import load_extensions

MODULE = """
from dataclasses import dataclass
from typing import Literal

import tide
import torch
from tide.config import LSTMConfig
from tide.data import DrawnTask
from tide.models.lstm import LSTMCell


@dataclass(frozen=True, kw_only=True)
class InstalledConfig(LSTMConfig):
    kind: Literal["installed"] = "installed"

    def __post_init__(self):
        pass


@tide.register("core", InstalledConfig)
def cell(config, *, features, outputs, seed):
    return LSTMCell(config, features=features, outputs=outputs, seed=seed)


def halves(count, generator):
    images = torch.randint(256, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
    return images, (images[:, 0, :8].float().mean((1, 2)) > images[:, 0, 8:].float().mean((1, 2))).long()


tide.register("task", "installed-halves")(lambda model, directory: DrawnTask(halves, (halves,)))
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that registers a cell and a task, and one that cannot be imported, as if they were installed."""
    (tmp_path / "installed_extension.py").write_text(MODULE)
    for name, module in (("broken-package", "no_such_module"), ("good-package", "installed_extension")):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[tide.extensions]\nmine = {module}\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_extensions.cache_clear()
    yield
    sys.modules.pop("installed_extension", None)
    load_extensions.cache_clear()


@pytest.mark.usefixtures("packages")
def test_the_command_knows_installed_extensions_and_goes_on_without_a_broken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    assert "installed_extension" not in sys.modules  # nor for other commands that need none
    capsys.readouterr()
    settings = ["lstm.digits", "--core.kind", "installed", "--data", "installed-halves"]
    assert main(["train", *settings, "--print-config"]) == 0
    out, err = capsys.readouterr()
    printed = yaml.safe_load(out)
    assert (printed["core"]["kind"], printed["data"]["name"]) == ("installed", "installed-halves")
    (warning,) = [line for line in err.splitlines() if "extension" in line]
    assert warning.startswith("tide: warning: extension mine of broken-package cannot be loaded ")
    run = ["--output.classes", "2", "--train.steps", "2", "--train.batch", "4", "--core.ticks", "2", "--device", "cpu"]
    assert main(["train", *settings, *run, "--out", str(tmp_path / "run")]) == 0
    assert main(["eval", str(tmp_path / "run")]) == 0
    assert "installed-halves, 1000 test images" in capsys.readouterr().out
