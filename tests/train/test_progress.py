"""Progress where nobody watches: a line now and then, with rate and time left."""

from __future__ import annotations

import io

from rich.console import Console

from tide.train.report import EVERY, Pieces


def test_a_file_gets_a_line_now_and_then():
    file, now = io.StringIO(), [100.0]
    with Pieces(Console(file=file, width=20), lambda: now[0]) as pieces:
        for done in range(40, 51):  # 40 were there already; one piece in ten seconds
            pieces(f"piece {done}", done, 100)
            now[0] += 10
    lines = file.getvalue().splitlines()
    assert len(lines) == 1 + 100 // EVERY
    assert lines[0] == "40/100: piece 40"
    assert lines[1] == "43/100: piece 43, 6.0 a minute, 9:30 left"


def test_a_terminal_gets_a_bar():
    file, now = io.StringIO(), [0.0]
    with Pieces(Console(file=file, width=120, force_terminal=True), lambda: now[0]) as pieces:
        for done in range(3):
            pieces("piece", done, 10)
            now[0] += 30
    assert "2/10" in file.getvalue()
    assert "piece, 2.0 a minute, 4:00 left" in file.getvalue()


def test_what_is_done_at_once_gets_no_line_and_a_second_work_its_own_pace():
    file, now = io.StringIO(), [0.0]
    with Pieces(Console(file=file, width=20), lambda: now[0]) as pieces:
        pieces("all", 5, 5)
        assert file.getvalue() == ""
        for done in (0, 60, 0, 6):
            pieces("piece", done, 60)
            now[0] += 60
    assert file.getvalue().splitlines()[-1] == "6/60: piece, 6.0 a minute, 9:00 left"
