"""What a variant costs: its training step over that of the run it is compared with, measured in turn.

The speeds in the logs of runs that were made side by side, or beside other work, cannot be compared.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tide.errors import CheckpointError, TrainingError
from tide.json_io import read_mapping
from tide.runs.environment import describe_environment
from tide.studies.ablation import Variant
from tide.train.timing import alternate, step_on_random_images

FILE = "step_time.json"
WARMUP = 2  # rounds that are not counted


def step_time_factors(
    variants: Sequence[Variant],
    out: Path,
    rounds: int,
    device: torch.device,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, float]:
    """Return the median ratio of each variant's step to its reference's, over so many rounds, by trial name.

    What was measured is kept in the variant's run folder and not measured again. A variant whose step is rejected on
    random images is left out. ``progress`` is called with (name, variants done, variants in all) before each.
    """
    factors: dict[str, float] = {}
    for done, variant in enumerate(variants):
        name, file = variant.trial.name, variant.trial.folder(out) / FILE
        if variant.trial is variant.reference:
            factors[name] = 1.0
            continue
        if file.is_file():
            factors[name] = _read(file)
            continue
        progress(name, done, len(variants))
        pair = (variant.reference, variant.trial)
        try:
            steps = [step_on_random_images(trial.config, device)[1] for trial in pair]
            theirs, mine = alternate(steps, rounds, device, warmup=WARMUP)
        except TrainingError:
            continue
        factors[name] = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        measured = {
            "factor": factors[name],
            "reference": variant.reference.name,
            "seconds": statistics.median(mine),
            "reference_seconds": statistics.median(theirs),
            "rounds": rounds,
            "environment": describe_environment(),
        }
        file.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return factors


def _read(file: Path) -> float:
    try:
        return float(read_mapping(file)["factor"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); remove it and it is measured again") from error
