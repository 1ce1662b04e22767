"""The scripts that report on finished runs say what lies in the run folders: guarantees, drift, curves."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from tests.scripts import load_benchmark
from tests.train.conftest import TINY
from tide.cli.main import main
from tide.runs.folder import RunFolder

GUARANTEED = ["--core.norm", "rms_cap", "--core.guarantee", "contraction", "--core.neuron-models.no-feedback"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two trainings of four steps: without a guarantee and with one."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({name: TINY[name] for name in ("backbone", "core")}))
    every = [part for name in ("probe", "monitor", "log") for part in (f"--train.{name}-every", "2")]
    for name, options in (("plain", []), ("held", GUARANTEED)):
        command = ["train", "digits", "--config", str(folder / "tiny.yaml"), "--out", str(folder / name)]
        assert main([*command, "--train.steps", "4", "--train.batch", "16", "--device", "cpu", *every, *options]) == 0
    return folder


def report(script, monkeypatch, out, *options):
    monkeypatch.setattr("sys.argv", [f"benchmarks/{script}.py", *options, "--out", str(out)])
    load_benchmark(script).main()
    assert out.with_suffix(".png").stat().st_size > 10_000
    return json.loads(out.with_suffix(".json").read_text()), out.with_suffix(".md").read_text()


def test_the_report_of_guarantees_compares_with_the_run_of_the_same_seed(study, monkeypatch, tmp_path):
    result, text = report("guarantee", monkeypatch, tmp_path / "new" / "guarantee", str(study))
    plain, held = (RunFolder.open(study / name).results()["last_accuracy"] for name in ("plain", "held"))
    assert set(result["rows"]) == {"none", "contraction"}
    assert result["rows"]["contraction"]["difference"]["mean"] == pytest.approx(held - plain)
    rates = [line["certified_rate"] for line in RunFolder.open(study / "held").metrics("monitor")]
    assert result["rows"]["contraction"]["greatest_certified_rate"] == max(rates) < 1
    # Trained without feedback, so the core alone is the whole loop.
    assert result["rows"]["contraction"]["core_alone"] == result["rows"]["contraction"]["whole_loop"]
    assert result["rows"]["contraction"]["core_alone"]["worst_in_its_norm"] <= max(rates) + 1e-9
    assert result["rows"]["none"]["core_alone"] != result["rows"]["none"]["whole_loop"]
    assert result["rows"]["none"]["greatest_certified_rate"] is None
    assert f"| contraction | {100 * held:.2f} | {100 * (held - plain):+.2f} |" in text
    assert f"| none | {100 * plain:.2f} | - |" in text


def test_the_report_of_drift_takes_best_less_last_and_thinks_on(study, monkeypatch, tmp_path):
    options = [str(study / "plain"), str(study / "held"), "--ticks", "6", "--images", "20", "--batch", "7"]
    result, text = report("drift", monkeypatch, tmp_path / "drift", *options)
    for name, run in result["runs"].items():
        probes = RunFolder.open(study / name).metrics("probe")
        for key, read in (("drop", "accuracy"), ("drop_last_tick", "accuracy_last_tick")):
            values = [line[read] for line in probes]
            assert run[key] == pytest.approx(max(values) - values[-1])
        assert len(run["accuracy_at_tick"]) == len(run["ei_ratio_at_tick"]) == 6
        assert list(run["most_certain"]) == [str(TINY["core"]["ticks"]), "6"]
        assert f"| {name} |" in text
    assert result["runs"]["held"]["settings"]["core"]["guarantee"] == "contraction"


def test_the_report_of_hedging_asks_the_last_checkpoint_and_thinks_on(study, monkeypatch, tmp_path):
    options = [str(study / "plain"), str(study / "held"), "--split", "test", "--longer", "6"]
    result, text = report("hedging", monkeypatch, tmp_path / "hedging", *options)
    for name, run in result["runs"].items():
        last = RunFolder.open(study / name).metrics("evaluation")[-1]
        trained, longer = (run["thoughts"][ticks] for ticks in (str(TINY["core"]["ticks"]), "6"))
        for key in ("accuracy", "oracle_accuracy", "hedging", "accuracy_per_tick", "answering_ticks"):
            assert trained[key] == pytest.approx(last[key])
        assert len(longer["accuracy_per_tick"]) == 6
        assert f"| {name} | {100 * last['accuracy']:.2f} | {100 * last['accuracy_last_tick']:.2f} |" in text
        assert f"| {100 * longer['accuracy']:.2f} / {100 * longer['accuracy_last_tick']:.2f} |" in text


def test_the_report_of_hedging_takes_evaluations_where_a_run_has_no_probes(study, monkeypatch, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(study / "plain", bare)
    lines = (bare / "metrics.jsonl").read_text().splitlines(keepends=True)
    (bare / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["kind"] != "probe"))
    options = [str(study / "plain"), str(bare), "--split", "test"]
    result, _ = report("hedging", monkeypatch, tmp_path / "hedging", *options)
    for name, kind in (("plain", "probe"), ("bare", "evaluation")):
        read = RunFolder.open(study / "plain").metrics(kind)
        assert [line["step"] for line in read]
        wanted = [{key: line[key] for key in ("step", "accuracy", "accuracy_last_tick", "hedging")} for line in read]
        assert result["runs"][name]["probes"] == wanted


def test_curves_are_the_lines_of_the_log(study, monkeypatch, tmp_path, capsys):
    options = [str(study / "plain"), "--keys", "ei_ratio", "total", "--target", "4"]
    result, _ = report("curves", monkeypatch, tmp_path / "curves", *options)
    lines = RunFolder.open(study / "plain").metrics("train")
    assert result["runs"]["plain"]["steps"] == [line["step"] for line in lines]
    assert result["runs"]["plain"]["total"] == [line["total"] for line in lines]


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("curves", ["plain", "--keys", "tota"], "not all lines of kind 'train' have 'tota'"),
        ("curves", ["plain", "--kind", "trian"], "has no lines of kind 'trian'"),
        ("curves", ["plain", "plain"], "runs are plain, plain, one or more of different names are wanted"),
        ("drift", ["plain", "--ticks", "3"], "ticks is 3, more than the"),
        ("guarantee", ["plain"], "no runs in"),
        ("hedging", ["plain"], "was trained without held-out images"),
    ],
)
def test_bad_input_is_one_line(study, script, options, said, monkeypatch, tmp_path, capsys):
    places = [str(study / option) if option == "plain" else option for option in options]
    with pytest.raises(SystemExit, match="2"):
        report(script, monkeypatch, tmp_path / "nothing", *places)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_questions_are_told_apart_by_digits_and_operations():
    module = load_benchmark("questions")
    asked = [(1, 1, 10), (2, 1, 30), (2, 2, 60)]
    result = {
        "questions": [{"digits": d, "operations": o, "count": n} for d, o, n in asked],
        "zero": 0.25,
        "right": {"run": [1.0, 0.5, 0.25]},
    }
    shares, rows, columns = module.tables(result)["run"]
    assert (rows, columns) == ([1, 2], [1, 2])
    np.testing.assert_array_equal(shares, [[1.0, np.nan], [0.5, 0.25]])
    text = module.markdown(result)
    assert "100 questions" in text
    assert "Answering 0 to each is right in 25.0 %" in text
    assert "| run: 40.0 % |" in text  # 10 · 1 + 30 · 0.5 + 60 · 0.25
    assert "| 2 digits | 50.0 | 25.0 |" in text
    assert len(module.draw(result).axes) == 2
