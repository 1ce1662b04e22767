"""What cannot be written is refused before the work; numbers and tables are Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tide.cli.main import main
from tide.errors import InputError
from tide.files import check_file, check_folder, number, percent, table


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


@pytest.mark.parametrize("command", ["eval --out", "export --html", "export --out", "stability --out"])
def test_commands_ask_before_they_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was read first")

    monkeypatch.setattr("tide.models.load.load", load)
    (tmp_path / "file").write_text("kept")
    name, option = command.split()
    assert main([name, "pretrained:digits", option, str(tmp_path / "file" / "below")]) == 2
    assert f"with {option}" in capsys.readouterr().err


def test_tables_have_a_line_for_each_row_and_a_dash_for_what_is_not_known() -> None:
    row = ("tide", percent(0.1234), number(None), "")
    assert table(("model", "right, %", "E-I", ""), [row]) == [
        "| model | right, % | E-I | |",
        "|---|---|---|---|",
        "| tide | 12.34 | - | |",
    ]
    assert (percent(0.0), percent(-0.01, "+.1f"), number(4, ".3g")) == ("0.00", "-1.0", "4")
