"""What one finished run says: the numbers that comparisons and ablations put side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tide.config import Config
from tide.errors import CheckpointError
from tide.models.load import outline
from tide.runs.folder import RunFolder, step_rates


@dataclass(frozen=True)
class RunFacts:
    """One run: accuracies in [0, 1] at the most certain tick unless named otherwise.

    ``curve`` holds (step, accuracy) on the first test images; ``seconds`` the training seconds up to each step that was
    read; ``data_crc`` a running checksum of the batches' image indices at each step that was read; ``monitor`` the last
    reading of the stability monitor; ``rejected`` the number of steps not taken; ``answers`` label, answer, certainty
    and confidence of each test image.
    """

    path: Path
    config: Config
    evaluations: tuple[dict[str, Any], ...]
    curve: tuple[tuple[int, float], ...]
    seconds: dict[int, float]
    steps_per_second: float
    data_crc: dict[int, int]
    monitor: dict[str, Any]
    rejected: int
    answers: dict[str, Tensor]
    environment: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> RunFacts:
        """Read a run folder; raises :class:`CheckpointError` where it is damaged or not complete."""
        run = RunFolder.open(path)
        results = run.results()
        if not results.get("complete"):
            raise CheckpointError(f"{path} is not complete; continue it with `tide train --resume {path}`")
        evaluations = run.metrics("evaluation")
        timing = run.timing()
        rates = step_rates(timing)
        monitor = run.metrics("monitor")
        if not evaluations or not rates:
            raise CheckpointError(f"{path} has no evaluation or no timing in its logs; they were cut by hand")
        return cls(
            path=path,
            config=run.config,
            evaluations=tuple(evaluations),
            curve=tuple((line["step"], line["accuracy"]) for line in run.metrics("probe")),
            seconds={line["step"]: line["seconds"] for line in timing},
            steps_per_second=statistics.median(rates),
            data_crc={line["step"]: line["data_crc"] for line in run.metrics("train")},
            monitor=monitor[-1] if monitor else {},
            rejected=int(results["rejected"]),
            answers=run.answers(),
            environment=run.environment,
        )

    @property
    def last(self) -> dict[str, Any]:
        """The evaluation after the last step."""
        return self.evaluations[-1]

    @property
    def best_accuracy(self) -> float:
        """The best accuracy of all whole evaluations."""
        return max(float(evaluation["accuracy"]) for evaluation in self.evaluations)

    @property
    def last_accuracy(self) -> float:
        """The accuracy after the last step."""
        return float(self.last["accuracy"])

    def parameters(self) -> int:
        """Return the number of the model's parameters."""
        return sum(p.numel() for p in outline(self.config.model).parameters())

    def steps_to(self, accuracy: float) -> int | None:
        """Return the first step of the learning curve with at least this accuracy, None where it is never reached."""
        return next((step for step, value in self.curve if value >= accuracy), None)

    def seconds_to(self, accuracy: float) -> float | None:
        """Return the training seconds up to that step, evaluations not counted."""
        step = self.steps_to(accuracy)
        return self.seconds.get(step) if step is not None else None


def mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean and the sample standard deviation (None for a single value)."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }
