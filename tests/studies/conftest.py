"""Runs of a study made up by hand: what the reports say of them can be computed on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tide.config import Config
from tide.models.presets import MODELS, preset
from tide.runs.folder import RunFacts


@pytest.fixture(scope="session")
def make_facts() -> Callable[..., RunFacts]:
    """Return a maker of runs on ten test images of digits; ``answers`` are classes, the labels are 0 to 9."""
    small: dict[str, Any] = {"neurons": 30, "synchrony": {"pairs_ee": 9, "pairs_ei": 7, "pairs_ii": 5}}
    base = preset("digits", core=small)

    def make(
        answers: list[int],
        *,
        model: str = "tide",
        seed: int = 1,
        best: float | None = None,
        ratio: float = 4.0,
        rate: float = 2.0,
        curve: tuple[tuple[int, float], ...] = (),
        **changes: Any,
    ) -> RunFacts:
        config: Config = replace(MODELS[model](base), seed=seed)
        label, answer = torch.arange(10), torch.tensor(answers)
        accuracy = float((label == answer).double().mean())
        last = {
            "accuracy": accuracy,
            "accuracy_last_tick": accuracy / 2,
            "accuracy_per_tick": [0.1, accuracy / 2],
            "hedging": accuracy / 4,
            "certainty": 0.5,
            "calibration_error": 0.25,
            "ei_ratio": ratio if model == "tide" else None,
        }
        facts = RunFacts(
            path=Path(f"runs/{model}-{seed}"),
            config=config,
            evaluations=({**last, "accuracy": accuracy if best is None else best}, last),
            curve=curve,
            seconds={step: step / rate for step, _ in curve},
            steps_per_second=rate,
            data_crc={10: seed, 20: 2 * seed},
            monitor={"rate_e": 0.1, "rate_i": 0.3},
            rejected=0,
            answers={"label": label, "answer": answer},
            environment={"commit": "abc", "processor": "none", "threads": 1},
        )
        return replace(facts, **changes)

    return make
