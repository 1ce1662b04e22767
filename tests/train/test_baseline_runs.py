"""Runs of every model in one loop: the same batches, resumed bit for bit, probes and answers beside the weights."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import TINY
from tests.train.test_runs import assert_same_run
from tide.config import Config
from tide.data import Splits, batch_indices, derive_seed, hold_out
from tide.errors import CheckpointError
from tide.evaluate.answers import Answers
from tide.models.load import load
from tide.models.presets import preset
from tide.runs.folder import RunFolder
from tide.train.feed import DATA_STREAM
from tide.train.report import PlainReporter, StepSummary
from tide.train.run import Run
from tide.train.supervised import Supervised, fit_to_data, resolved, supervised_run

KINDS = ("tide", "ctm", "lstm")
CORES: dict[str, dict[str, Any]] = {
    "tide": TINY["core"],
    "ctm": {
        "neurons": 24,
        "ticks": 3,
        "attention_width": 16,
        "heads": 2,
        "synapse_depth": 2,
        "memory_length": 4,
        "synchrony_out": 12,
        "synchrony_action": 9,
        "dropout": 0.1,
    },
    "lstm": {"neurons": 24, "ticks": 3, "attention_width": 16, "heads": 2, "dropout": 0.1},
}
STEPS, PROBED = 12, 100
TRAIN = {"steps": STEPS, "eval_every": 6, "checkpoint_every": 4, "probe_every": 3, "probe_images": PROBED}


class Crash(Exception):
    """Ends a run as a kill would: nothing is saved on the way out."""


class CrashingReporter(PlainReporter):
    """Shows nothing; ends the run at a step."""

    def __init__(self, steps: int, crash: int | None) -> None:
        super().__init__(steps)
        self.crash = crash

    def reading(self, reading: StepSummary) -> None:
        if reading.step == self.crash:
            raise Crash

    def message(self, text: str, *, alarm: bool = False) -> None:
        assert not alarm, text


def configuration(kind: str, digits: Splits) -> Config:
    name = "digits" if kind == "tide" else f"{kind}.digits"
    sections = {"backbone": TINY["backbone"], "core": CORES[kind], "train": TINY["train"] | TRAIN}
    return fit_to_data(resolved(preset(name, **sections)), digits)


def training(folder: RunFolder, digits: Splits, crash: int | None = None) -> Run[Supervised]:
    return supervised_run(folder.config, digits, folder, CrashingReporter(STEPS, crash))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits: Splits) -> dict[str, RunFolder]:
    """A run of twelve steps of every model."""
    found = {}
    for kind in KINDS:
        found[kind] = RunFolder.create(tmp_path_factory.mktemp("runs") / kind, configuration(kind, digits))
        assert training(found[kind], digits).fit() is None
    return found


def test_every_model_sees_the_same_batches_in_the_same_order(runs: dict[str, RunFolder]) -> None:
    seen = {kind: [(line["step"], line["data_crc"]) for line in run.metrics("train")] for kind, run in runs.items()}
    assert [step for step, _ in seen["tide"]] == list(range(1, STEPS + 1))
    assert len({crc for _, crc in seen["tide"]}) == STEPS
    assert seen["ctm"] == seen["lstm"] == seen["tide"]


def test_the_batches_are_named_by_the_checksum_of_their_indices(digits: Splits, runs: dict[str, RunFolder]) -> None:
    crc, config = 0, runs["ctm"].config
    for line in runs["ctm"].metrics("train"):
        index = batch_indices(len(digits.train), 16, line["step"] - 1, derive_seed(config.seed, DATA_STREAM))
        crc = zlib.crc32(index.numpy().tobytes(), crc)
        assert line["data_crc"] == crc


@pytest.mark.parametrize("kind", ["ctm", "lstm"])
def test_a_crash_and_the_rest_equal_a_whole_run(
    runs: dict[str, RunFolder], digits: Splits, tmp_path: Path, kind: str
) -> None:
    """The crash at step 7 comes after the evaluation of step 6 and the checkpoint of step 4: both steps are redone."""
    folder = RunFolder.create(tmp_path / kind, runs[kind].config)
    with pytest.raises(Crash):
        training(folder, digits, crash=7).fit()
    again = training(folder, digits)
    again.resume()
    assert again.progress.step == 4
    assert again.fit() is None
    assert_same_run(runs[kind].path, folder.path)
    name = "answers.safetensors"
    assert (runs[kind].path / name).read_bytes() == (folder.path / name).read_bytes()


@pytest.mark.parametrize("kind", ["ctm", "lstm"])
def test_training_moves_every_weight_of_a_baseline_and_keeps_its_bounds(
    runs: dict[str, RunFolder], digits: Splits, kind: str
) -> None:
    fresh = supervised_run(runs[kind].config, digits, runs[kind], CrashingReporter(STEPS, None)).task.model
    trained = load(runs[kind].path, checkpoint="last")
    before = dict(fresh.named_parameters())
    still = {name for name, value in trained.named_parameters() if torch.equal(value, before[name])}
    assert still == set()
    for name, value in trained.named_parameters():
        if name.endswith("decay"):
            assert 0 <= value.min() <= value.max() <= 15
    assert all(line["rejected"] == 0 for line in runs[kind].metrics("train"))


@pytest.mark.parametrize("kind", KINDS)
def test_probes_come_when_due_on_the_first_test_images_and_answers_agree_with_the_evaluation(
    runs: dict[str, RunFolder], digits: Splits, kind: str
) -> None:
    run = runs[kind]
    probes, evaluations, answers = run.metrics("probe"), run.metrics("evaluation"), run.answers()
    assert [line["step"] for line in probes] == [3, 6, 9, 12]
    assert {line["images"] for line in probes} == {PROBED}
    assert [line["step"] for line in evaluations] == [6, 12]
    last = evaluations[-1]
    assert last["images"] == len(answers["label"]) == len(digits.test)
    assert torch.equal(answers["label"], digits.test.labels)
    right = answers["answer"] == answers["label"]
    assert float(right.double().mean()) == last["accuracy"] == run.results()["last_accuracy"]
    assert float(answers["certainty"].double().mean()) == pytest.approx(last["certainty"], rel=1e-12)
    # The probe of the last step asks the same weights about the first images.
    assert probes[-1]["accuracy"] == float(right[:PROBED].double().mean())
    assert probes[-1]["certainty"] == pytest.approx(float(answers["certainty"][:PROBED].double().mean()), rel=1e-6)
    assert (last["ei_ratio"] is None) == (kind != "tide")


def test_answers_on_disk_are_those_of_the_most_certain_tick(tmp_path: Path) -> None:
    values = torch.tensor([[0.1, 0.8, 0.3], [0.5, 0.2, 0.4]])
    labels, predicted = torch.tensor([2, 0]), torch.tensor([[0, 2, 1], [1, 0, 0]])
    run = RunFolder(tmp_path)
    run.write_answers(Answers(torch.arange(2), labels, predicted, values, values + 0.1, losses=values, ratio=None))
    found = {name: column.tolist() for name, column in run.answers().items()}
    assert (found["label"], found["answer"]) == ([2, 0], [2, 1])
    assert found["certainty"] == pytest.approx([0.8, 0.5])
    assert found["confidence"] == pytest.approx([0.9, 0.6])
    assert len(found) == 4


@pytest.mark.parametrize(("name", "method"), [("answers.safetensors", "answers"), ("results.json", "results")])
def test_missing_or_damaged_answers_and_results_are_named_in_one_line(tmp_path: Path, name: str, method: str) -> None:
    for content in (None, b"[1, 2", b"3"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name} cannot be read") as caught:
            getattr(RunFolder(tmp_path), method)()
        assert "\n" not in str(caught.value)


def test_probes_change_nothing_of_the_training(runs: dict[str, RunFolder], digits: Splits, tmp_path: Path) -> None:
    config = runs["ctm"].config
    quiet = RunFolder.create(tmp_path / "quiet", replace(config, train=replace(config.train, probe_every=0)))
    training(quiet, digits).fit()
    assert quiet.metrics("probe") == []
    assert quiet.metrics("train") == runs["ctm"].metrics("train")
    assert quiet.metrics("evaluation") == runs["ctm"].metrics("evaluation")


def test_readings_of_a_model_without_populations_name_the_task_alone(runs: dict[str, RunFolder]) -> None:
    for kind in ("ctm", "lstm"):
        for line in runs[kind].metrics("train"):
            assert line["ei_ratio"] is None
            assert line["total"] == line["task"]
            assert not {"ei", "game", "sync", "spectral"} & set(line)
        assert {line["step"] for line in runs[kind].metrics("monitor")} == {1, 5, 10, 12}
        assert all(line["alarms"] == [] for line in runs[kind].metrics("monitor"))


def test_a_run_with_a_held_out_part_is_measured_on_it_and_never_on_the_test_split(
    tmp_path: Path, digits: Splits
) -> None:
    config = configuration("lstm", digits)
    config = replace(config, data=replace(config.data, validation=0.2))
    splits = hold_out(digits, config.data.validation, config.seed)
    run = RunFolder.create(tmp_path / "run", config)
    supervised_run(config, splits, run, CrashingReporter(STEPS, None)).fit()
    assert len(digits.train) - len(splits.train) == len(splits.test) == round(0.2 * len(digits.train))
    assert {line["images"] for line in run.metrics("evaluation")} == {len(splits.test)}
    assert torch.equal(run.answers()["label"], splits.test.labels)
    assert run.results()["measured_on"] == "validation"
