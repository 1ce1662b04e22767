"""Asking trained models about shifted test images, shift by shift: each answer is kept, and never asked for again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tide.backbones.batch_norm import statistics_of_batches
from tide.data import Decoding, LabelledSet
from tide.errors import CheckpointError
from tide.evaluate.answers import Answers, collect_answers
from tide.models.thinker import Thinker
from tide.studies.kept_settings import STATISTICS, TRAINING, agree
from tide.studies.shifts import Shift, Suite

THRESHOLD = 0.9  # certainty at which a halting model would have stopped
CLEAN = Shift("clean", None)


@dataclass(frozen=True)
class CellAnswers:
    """What one model answered on the images of one shift, (n,) each, at the most certain tick.

    ``ticks``: those that it would have taken with halting at a certainty of 0.9; ``ratio``: the E-I ratio, mean over
    ticks, None for a model without populations; ``restricted`` and its confidence: the answer at the same tick if only
    the suite's classes compete, None for a suite of all classes.
    """

    positions: Tensor
    label: Tensor
    answer: Tensor
    certainty: Tensor
    confidence: Tensor
    ticks: Tensor
    ratio: Tensor | None
    restricted: Tensor | None = None
    restricted_confidence: Tensor | None = None

    @classmethod
    def of(cls, answers: Answers) -> CellAnswers:
        """Reduce all ticks of a split's answers."""
        sure = answers.certainty >= THRESHOLD
        never = torch.full_like(answers.labels, sure.shape[1])

        def chosen(values: Tensor | None) -> Tensor | None:
            return answers.at_most_certain(values) if values is not None else None

        return cls(
            positions=answers.positions,
            label=answers.labels,
            answer=answers.at_most_certain(answers.predicted),
            certainty=answers.at_most_certain(answers.certainty),
            confidence=answers.at_most_certain(answers.confidence),
            ticks=torch.where(sure.any(1), sure.float().argmax(1) + 1, never),
            ratio=answers.ratio.mean(1) if answers.ratio is not None else None,
            restricted=chosen(answers.restricted),
            restricted_confidence=chosen(answers.restricted_confidence),
        )

    def among_classes(self) -> CellAnswers:
        """Return the answers and confidences if only the suite's classes compete; all else is as it is."""
        assert self.restricted is not None
        assert self.restricted_confidence is not None
        return replace(self, answer=self.restricted, confidence=self.restricted_confidence)

    @property
    def correct(self) -> Tensor:
        """Whether the answer is right, (n,) bool."""
        return self.answer == self.label

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return float(self.correct.double().mean())

    def write(self, file: Path) -> None:
        """Write all columns at once, or nothing."""
        columns = {name: value.contiguous() for name, value in vars(self).items() if value is not None}
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(save(columns))
        part.replace(file)

    @classmethod
    def read(cls, file: Path) -> CellAnswers:
        """Read what :meth:`write` wrote; raises :class:`CheckpointError` where it is damaged."""
        try:
            columns: dict[str, Any] = load_file(file)
            return cls(**{"ratio": None, **columns})
        except (SafetensorError, OSError, TypeError) as error:
            raise CheckpointError(f"{file} is damaged ({error}); remove it and it is measured again") from error


Progress = Callable[[str, int, int], None]
"""Called with (what is asked, cells done, cells in all) before each cell."""


@dataclass(frozen=True)
class Asked:
    """A model under test: what it is called, the model, and the folder of its checkpoint."""

    name: str
    model: Thinker
    weights: Path


def ask(
    models: Sequence[Asked],
    suite: Suite,
    out: Path,
    settings: Mapping[str, object],
    *,
    batch: int = 500,
    batch_statistics: bool = False,
    decoding: Decoding | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, dict[Shift, CellAnswers]]:
    """Ask every model about every shift of a suite, and about the clean images; return the answers by model and shift.

    A cell is kept in ``out/cells/MODEL/SHIFT.safetensors`` and read from there the next time; one without the
    restricted answers that the suite wants is asked again. The images of a shift are made once, for all models that
    lack it. ``settings`` say what the cells are measured with; models may be added to those that ``out`` holds. With
    ``batch_statistics`` backbones normalise by the statistics of each batch, not by those of training.

    Raises :class:`CheckpointError` where ``out`` holds cells of other settings, of other weights under the same name,
    or a damaged one.
    """
    known = {} if suite.checksum is None else {"data": f"{suite.checksum:08x}"}
    known[STATISTICS] = f"batches of {batch}" if batch_statistics else TRAINING
    agree(out, {**settings, **known}, {asked.name: _digest(asked.weights) for asked in models})
    shifts = ([CLEAN] if suite.clean is not None else []) + list(suite.shifts)
    answers: dict[str, dict[Shift, CellAnswers]] = {asked.name: {} for asked in models}
    done, total = 0, len(shifts) * len(models)
    for shift in shifts:
        images: LabelledSet | None = None
        for asked in models:
            file = out / "cells" / asked.name / f"{shift.label}.safetensors"
            cell = CellAnswers.read(file) if file.is_file() else None
            if cell is None or (suite.classes is not None and cell.restricted is None):
                progress(f"{shift.label}, {asked.name}", done, total)
                if images is None:
                    images = suite.clean if shift == CLEAN else suite.images(shift, None)
                assert images is not None
                with statistics_of_batches(asked.model) if batch_statistics else nullcontext():
                    found = collect_answers(
                        asked.model,
                        images.decoded_with(decoding or Decoding()),
                        batch=batch,
                        positions=suite.clean_positions if shift == CLEAN else None,
                        classes=suite.classes,
                    )
                cell = CellAnswers.of(found)
                cell.write(file)
            answers[asked.name][shift] = cell
            done += 1
    return answers


def _digest(weights: Path) -> str:
    return hashlib.blake2b((weights / "model.safetensors").read_bytes(), digest_size=16).hexdigest()
