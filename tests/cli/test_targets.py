"""What cannot be written is refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tide.cli.main import main
from tide.cli.targets import check_file, check_folder
from tide.errors import InputError


def test_a_target_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("kept")
    check_file("--out", tmp_path / "there.json")
    check_file("--out", tmp_path / "new.json")
    check_folder("--out", tmp_path / "new" / "deeper")
    check_folder("--out", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.json", "kept")]
    for path in (tmp_path, tmp_path / "no" / "file", tmp_path / "there.json" / "file"):
        with pytest.raises(InputError, match=r"cannot write .*; give another file with --out"):
            check_file("--out", path)
    for path in (tmp_path / "there.json", tmp_path / "there.json" / "folder"):
        with pytest.raises(InputError, match=r"cannot write .*; give another folder with --out"):
            check_folder("--out", path)


@pytest.mark.parametrize("given", ["eval --out", "export --html", "export --out", "stability --out"])
def test_commands_ask_before_they_work(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was read first")

    monkeypatch.setattr("tide.models.load.load", load)
    (tmp_path / "file").write_text("kept")
    command, option = given.split()
    assert main([command, "pretrained:digits", option, str(tmp_path / "file" / "below")]) == 2
    assert f"with {option}" in capsys.readouterr().err
