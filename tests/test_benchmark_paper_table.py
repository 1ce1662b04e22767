"""The table beside the paper's, from runs whose readings were made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import load_benchmark
from tide.errors import ConfigError, InputError
from tide.runs.folder import RunFolder

SCRIPT = load_benchmark("paper_table")
rows_named = SCRIPT.rows_named

STEPS = 3000


def made_up(out: Path, name: str, accuracies: list[float], *, norm: float = 0.5) -> None:
    """Write a run folder of a row as far as it has accuracies, one for each thousand steps."""
    (row,) = rows_named([name])
    run = RunFolder.create(out / name, row.trial(STEPS).config)
    for number, accuracy in enumerate(accuracies, 1):
        step = 1000 * number
        run.append("metrics", {"kind": "train", "step": step, "gradient_norm": norm * number, "rejected": 0})
        read = {"accuracy": accuracy, "accuracy_last_tick": accuracy - 0.1, "hedging": 0.02}
        run.append("metrics", {"kind": "evaluation", "step": step, **read})


def test_rows_are_the_paper_s_presets_at_few_ticks_and_their_whole_length() -> None:
    assert len({row.name for row in SCRIPT.ROWS}) == len(SCRIPT.ROWS)
    for row in SCRIPT.ROWS:
        config = row.trial(None).config
        assert config.train.steps == (20_000 if row.task == "cifar10" else 50_000)
        assert config.train.batch == 64
        assert config.data.validation == 0  # as in the paper, the best is chosen on the test split
        assert config.core.ticks in (10, 25)
        assert row.published.best > 86
    assert {row.trial(None).config.loss.objective for row in SCRIPT.ROWS} == {"two_point", "anytime"}


def test_best_final_clipping_and_steps_to_ctm_s_end_by_hand(tmp_path: Path) -> None:
    made_up(tmp_path, "mnist-tide-T10-42", [0.90, 0.97, 0.96])
    made_up(tmp_path, "mnist-anytime-T10-42", [0.80, 0.90])
    made_up(tmp_path, "mnist-ctm-T10-42", [0.80, 0.85, 0.91], norm=2.0)
    rows = rows_named(["mnist-tide-T10-42", "mnist-anytime-T10-42", "mnist-ctm-T10-42", "fashion-mnist-ctm-T10-42"])
    result = SCRIPT.rows_so_far(rows, STEPS, tmp_path)
    assert list(result["rows"]) == [row.name for row in rows[:3]]  # the fourth has not begun
    tide = result["rows"]["mnist-tide-T10-42"]
    assert (tide["best"], tide["best_step"], tide["final"]) == (0.97, 2000, 0.96)
    assert tide["clipped"] == pytest.approx(1 / 3)  # norms 0.5, 1.0, 1.5 against a limit of 1
    assert result["rows"]["mnist-ctm-T10-42"]["clipped"] == 1
    text = SCRIPT.markdown(result)
    assert "| mnist-tide-T10-42 | 3,000 | 97.00 | 96.00 | 86.00 | 2.00 | 33.33 | 99.58 / 99.54 (50,000, " in text
    assert "| mnist-anytime-T10-42 | 2,000 of 3,000 | 90.00 |" in text
    # The run in progress is not compared.
    assert "Steps to CTM's final 91.00 % on mnist (3,000 steps): tide (T = 10, seed 42) 2,000." in text
    assert SCRIPT.first_reaching([(1, 0.5), (2, 0.7)], 0.8) is None


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'mnist-tide-T10-42'"):
        rows_named(["mnist-tide-T10"])
    with pytest.raises(InputError, match="must hold a run for a report"):
        SCRIPT.run(SCRIPT.Settings(report=True, out=tmp_path / "none"))
    made_up(tmp_path, "mnist-tide-T10-42", [0.9])
    settings = SCRIPT.Settings(rows=("mnist-tide-T10-42",), steps=STEPS, out=tmp_path, list=True)
    assert SCRIPT.run(settings) == 0
    assert "0 of 3,000 steps" in capsys.readouterr().out
