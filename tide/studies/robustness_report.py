"""What models answered on shifted images, as data and as Markdown tables (the paper's robustness tables)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from tide.errors import InputError
from tide.evaluate.calibration import expected_calibration_error
from tide.evaluate.corruption_error import mean_corruption_error, relative_corruption_error
from tide.evaluate.intervals import Interval, bootstrap_mean
from tide.studies.robustness import CLEAN, CellAnswers
from tide.studies.shifts import Shift, Suite

Answers = Mapping[str, Mapping[Shift, CellAnswers]]


def robustness(answers: Answers, suite: Suite, baseline: str) -> dict[str, Any]:
    """Return the numbers of every model on every shift, by name and severity, and their differences to ``baseline``.

    Raises :class:`InputError` where the models did not see the same images.
    """
    for name, cells in answers.items():
        for shift, cell in cells.items():
            if not torch.equal(cell.positions, answers[baseline][shift].positions):
                raise InputError(f"{name} and {baseline} were asked about different images of {shift.label}")
    names = list(dict.fromkeys(shift.name for shift in suite.shifts))
    groups = {"all": names, **{title: list(group) for title, group in suite.groups.items()}}
    return {
        "suite": suite.name,
        "images": len(next(iter(answers[baseline].values())).label),
        "baseline": baseline,
        "shifts": {name: [s.severity for s in suite.shifts if s.name == name] for name in names},
        "groups": groups,
        "models": {
            name: {
                "cells": {shift.label: measures(cell) for shift, cell in cells.items()},
                "groups": {
                    title: _group(cells, answers[baseline], group, paired=name != baseline)
                    for title, group in groups.items()
                },
                "by_shift": {
                    shift: _group(cells, answers[baseline], [shift], paired=name != baseline) for shift in names
                },
                "rising": rising(cells, names),
            }
            for name, cells in answers.items()
        },
    }


def measures(cell: CellAnswers) -> dict[str, float | None]:
    """Return the means over one cell's images."""
    return {
        "accuracy": cell.accuracy,
        "certainty": float(cell.certainty.double().mean()),
        "calibration_error": expected_calibration_error(cell.confidence, cell.correct),
        "ticks": float(cell.ticks.double().mean()),
        "ei_ratio": float(cell.ratio.double().mean()) if cell.ratio is not None else None,
    }


def _group(
    cells: Mapping[Shift, CellAnswers], base: Mapping[Shift, CellAnswers], names: Sequence[str], *, paired: bool
) -> dict[str, Any]:
    """Return the mean over all cells of some shifts; mCE, and with ``paired`` the difference image by image."""
    chosen = [shift for shift in cells if shift != CLEAN and shift.name in names]
    parts = [measures(cells[shift]) for shift in chosen]
    means = {key: _mean([part[key] for part in parts]) for key in parts[0]}
    errors, baseline = _errors(cells, names), _errors(base, names)
    row: dict[str, Any] = {**means, "mce": mean_corruption_error(errors, baseline)}
    if CLEAN in cells:
        clean = [1 - mine[CLEAN].accuracy for mine in (cells, base)]
        row["relative_mce"] = relative_corruption_error(errors, clean[0], baseline, clean[1])
        row["accuracy_kept"] = means["accuracy"] / (1 - clean[0]) if means["accuracy"] and clean[0] < 1 else None
    row["difference"] = paired_difference(cells, base, chosen)._asdict() if paired else None
    return row


def paired_difference(
    cells: Mapping[Shift, CellAnswers], base: Mapping[Shift, CellAnswers], shifts: Sequence[Shift]
) -> Interval:
    """Return the mean difference in accuracy to the baseline with its interval, paired over images.

    An image that is in several cells counts once, with its mean over them: the cells are not independent.
    """
    differences = [cells[s].correct.double() - base[s].correct.double() for s in shifts]
    return bootstrap_mean(_per_image(differences, [cells[s].positions for s in shifts]))


def _per_image(values: Sequence[Tensor], positions: Sequence[Tensor]) -> Tensor:
    every, index = torch.unique(torch.cat(list(positions)), return_inverse=True)
    sums = torch.zeros(len(every), dtype=torch.float64).index_add_(0, index, torch.cat(list(values)))
    return sums / torch.bincount(index)


def rising(cells: Mapping[Shift, CellAnswers], names: Sequence[str]) -> list[str]:
    """Return where accuracy rises with severity: ``NAME 2-3: +1.2``, in points."""
    found = []
    for name in names:
        graded = sorted((s for s in cells if s.name == name and s.severity is not None), key=lambda s: s.severity or 0)
        for low, high in pairwise(graded):
            gain = cells[high].accuracy - cells[low].accuracy
            if gain > 0:
                found.append(f"{name} {low.severity}-{high.severity}: +{100 * gain:.2f}")
    return found


def _errors(cells: Mapping[Shift, CellAnswers], names: Sequence[str]) -> dict[str, list[float]]:
    return {name: [1 - cell.accuracy for shift, cell in cells.items() if shift.name == name] for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def markdown(result: Mapping[str, Any]) -> str:
    """Return the report as Markdown: the models in all, then shift by shift."""
    models, baseline = result["models"], result["baseline"]
    clean = all("clean" in model["cells"] for model in models.values())
    lines = [
        f"# {result['suite']}: {', '.join(models)}",
        "",
        f"{result['images']} images, the same for all models. Accuracy at the most certain tick, mean over shifts and "
        f"severities. Differences to {baseline} in points, with 95 % bootstrap intervals paired over images; in bold "
        "where zero lies outside. mCE is the error over that of the baseline, corruption by corruption. Ticks: the "
        "mean number that a model halting at a certainty of 0.9 takes.",
    ]
    for title in result["groups"]:
        lines += [
            "",
            f"## {title[0].upper()}{title[1:]}",
            "",
            "| model | clean, % | shifted, % | kept, % | difference | mCE, % | relative mCE, % | calibration error | "
            "certainty | ticks clean, shifted | E-I ratio clean, shifted |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(name, model, title, clean) for name, model in models.items()]
    lines += ["", "## Shift by shift", "", "| shift | " + " | ".join(f"{name}, %" for name in models) + " | "]
    lines[-1] += " | ".join(f"{name} less {baseline}" for name in models if name != baseline) + " |"
    lines.append("|---" * (2 * len(models)) + "|")
    for shift in result["shifts"]:
        rows = {name: model["by_shift"][shift] for name, model in models.items()}
        cells = [f"{100 * row['accuracy']:.2f}" for row in rows.values()]
        cells += [_difference(row["difference"]) for name, row in rows.items() if name != baseline]
        lines.append(f"| {shift} | {' | '.join(cells)} |")
    exceptions = {name: model["rising"] for name, model in models.items() if model["rising"]}
    if exceptions:
        lines += ["", "Where accuracy rises with severity, in points:", ""]
        lines += [f"- {name}: {', '.join(where)}" for name, where in exceptions.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, model: Mapping[str, Any], title: str, clean: bool) -> str:
    row, start = model["groups"][title], model["cells"].get("clean", {})
    columns = [
        _percent(start.get("accuracy")),
        _percent(row["accuracy"]),
        _percent(row.get("accuracy_kept")) if clean else "-",
        _difference(row["difference"]),
        _percent(row["mce"]),
        _percent(row.get("relative_mce")),
        f"{row['calibration_error']:.3f}",
        f"{row['certainty']:.3f}",
        f"{_number(start.get('ticks'))}, {_number(row['ticks'])}",
        f"{_number(start.get('ei_ratio'))}, {_number(row['ei_ratio'])}",
    ]
    return f"| {name} | {' | '.join(columns)} |"


def _difference(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    text = f"{100 * interval['mean']:+.2f} ({100 * interval['low']:+.2f} to {100 * interval['high']:+.2f})"
    return f"**{text}**" if interval["low"] > 0 or interval["high"] < 0 else text


def _percent(value: float | None) -> str:
    return f"{100 * value:.2f}" if value is not None else "-"


def _number(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else "-"
