"""The scripts that report on finished runs say what lies in the run folders: guarantees, drift, curves."""

from __future__ import annotations

import json
import shutil

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


def test_bad_input_is_one_line(study, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        report("hedging", monkeypatch, tmp_path / "nothing", str(study / "plain"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "must be trained with held-out images" in line
