"""What models answered on shifted images, as data and as Markdown tables (the paper's robustness tables)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from tide.errors import InputError
from tide.evaluate.statistics import (
    Interval,
    bootstrap_mean,
    expected_calibration_error,
    mean_corruption_error,
    relative_corruption_error,
)
from tide.files import number, percent, table
from tide.studies.robustness import CLEAN, CellAnswers, Shift, Suite

Answers = Mapping[str, Mapping[Shift, CellAnswers]]


def robustness(answers: Answers, suite: Suite, baseline: str) -> dict[str, Any]:
    """Return the numbers of every model on every shift, by name and severity, and their differences to ``baseline``.

    Where the suite has images of a part of the model's classes, ``restricted`` holds the same numbers if only that part
    competes. Raises :class:`InputError` where the models did not see the same images, or images that should be the same
    under every shift have other labels.
    """
    for name, cells in answers.items():
        for shift, cell in cells.items():
            if not torch.equal(cell.positions, answers[baseline][shift].positions):
                raise InputError(
                    f"{name} and {baseline} must be asked about the same images, got other ones of {shift.label}; give "
                    "another --out"
                )
    if suite.same_images:
        _check_labels(answers[baseline], suite)
    names = list(dict.fromkeys(shift.name for shift in suite.shifts))
    groups = {"all": names, **{title: list(group) for title, group in suite.groups.items()}}
    result: dict[str, Any] = {
        "suite": suite.name,
        "images": _images(answers[baseline], suite),
        "baseline": baseline,
        "shifts": {name: [s.severity for s in suite.shifts if s.name == name] for name in names},
        "groups": groups,
        "models": _models(answers, suite, baseline, groups),
    }
    if suite.classes is not None:
        models = _models(among_classes(answers, suite.classes), suite, baseline, groups)
        result["restricted"] = {"classes": len(suite.classes), "models": models}
    return result


def _check_labels(cells: Mapping[Shift, CellAnswers], suite: Suite) -> None:
    """Raise InputError where an image has another label under some shift: then it is another image."""
    first = torch.full((1 + max(int(cells[shift].positions.max()) for shift in suite.shifts),), -1)
    for shift in suite.shifts:
        positions, label = cells[shift].positions, cells[shift].label
        other = ((first[positions] >= 0) & (first[positions] != label)).nonzero().flatten()
        if len(other):
            place = other[0]
            raise InputError(
                f"{suite.name} must show the same images in every shift, got image {int(positions[place])} of class "
                f"{int(label[place])} in {shift.label} and of class {int(first[positions[place]])} before; restore "
                "the published files"
            )
        first[positions] = label


def among_classes(answers: Answers, classes: Tensor) -> dict[str, dict[Shift, CellAnswers]]:
    """Return the answers if only some classes compete, without the cells that have images of other classes."""
    return {
        name: {shift: cell.among_classes() for shift, cell in cells.items() if torch.isin(cell.label, classes).all()}
        for name, cells in answers.items()
    }


def _images(cells: Mapping[Shift, CellAnswers], suite: Suite) -> int:
    """Return how many different images all shifts have together."""
    counts = [len(cells[shift].label) for shift in suite.shifts]
    return max(counts) if suite.same_images else sum(counts)


def _models(answers: Answers, suite: Suite, baseline: str, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    base, same = answers[baseline], suite.same_images

    def group(name: str, shifts: Sequence[str]) -> dict[str, Any]:
        return _group(answers[name], base, shifts, paired=name != baseline, same_images=same)

    return {
        name: {
            "cells": {shift.label: measures(cell) for shift, cell in cells.items()},
            "groups": {title: group(name, shifts) for title, shifts in groups.items()},
            "by_shift": {shift: group(name, [shift]) for shift in groups["all"]},
            "rising": rising(cells, groups["all"]),
        }
        for name, cells in answers.items()
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
    cells: Mapping[Shift, CellAnswers],
    base: Mapping[Shift, CellAnswers],
    names: Sequence[str],
    *,
    paired: bool,
    same_images: bool,
) -> dict[str, Any]:
    """Return the mean over all images of some shifts; mCE, and with ``paired`` the difference image by image."""
    chosen = shifts_of(cells, names)
    parts = [measures(cells[shift]) for shift in chosen]
    sizes = [len(cells[shift].label) for shift in chosen]
    means = {key: _mean([part[key] for part in parts], sizes) for key in parts[0]}
    errors, baseline = _errors(cells, names), _errors(base, names)
    row: dict[str, Any] = {**means, "mce": mean_corruption_error(errors, baseline)}
    if CLEAN in cells:
        clean = [1 - mine[CLEAN].accuracy for mine in (cells, base)]
        row["relative_mce"] = relative_corruption_error(errors, clean[0], baseline, clean[1])
        row["accuracy_kept"] = (
            means["accuracy"] / (1 - clean[0]) if means["accuracy"] is not None and clean[0] < 1 else None
        )
    row["difference"] = None
    if paired:
        row["difference"] = paired_difference([cells], [base], chosen, same_images=same_images)._asdict()
    return row


def shifts_of(cells: Mapping[Shift, CellAnswers], names: Sequence[str]) -> list[Shift]:
    """Return the shifts of these names, at every severity that was asked about."""
    return [shift for shift in cells if shift != CLEAN and shift.name in names]


def paired_difference(
    models: Sequence[Mapping[Shift, CellAnswers]],
    base: Sequence[Mapping[Shift, CellAnswers]],
    shifts: Sequence[Shift],
    *,
    same_images: bool = True,
) -> Interval:
    """Return the mean difference in accuracy of some models to others with its interval, paired over images.

    Of several models on a side the mean is taken, image by image. With ``same_images`` an image that is in several
    cells counts once, with its mean over them: the cells are not independent.
    """
    differences = [_mean_correct(models, shift) - _mean_correct(base, shift) for shift in shifts]
    if not same_images:
        return bootstrap_mean(torch.cat(differences))
    return bootstrap_mean(_per_image(differences, [models[0][shift].positions for shift in shifts]))


def _mean_correct(models: Sequence[Mapping[Shift, CellAnswers]], shift: Shift) -> Tensor:
    return torch.stack([cells[shift].correct.double() for cells in models]).mean(0)


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


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    return fmean(*zip(*known, strict=True)) if known else None


def markdown(result: Mapping[str, Any]) -> str:
    """Return the report as Markdown: the models in all, then shift by shift; both again among the suite's classes."""
    models, baseline = result["models"], result["baseline"]
    lines = [
        f"# {result['suite']}: {', '.join(models)}",
        "",
        f"{result['images']} images, the same for all models. Accuracy at the most certain tick, mean over the images "
        f"of all shifts and severities. Differences to {baseline} in points, with 95 % bootstrap intervals paired over "
        "images; in bold where zero lies outside. mCE is the error over that of the baseline, corruption by "
        f"corruption. Ticks: the mean number that a model halting at a certainty of 0.9 takes. Each interval "
        "stands for itself: of twenty differences about one is bold where there is none at all.",
    ]
    if "statistics" in result:
        lines += ["", f"Batch normalisation takes the statistics of {result['statistics']} images, not of training."]
    for title in result["groups"]:
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", *_table(models, title)]
    lines += ["", "## Shift by shift", "", *_by_shift(models, result["shifts"], baseline)]
    exceptions = {name: model["rising"] for name, model in models.items() if model["rising"]}
    if exceptions:
        lines += ["", "Where accuracy rises with severity, in points:", ""]
        lines += [f"- {name}: {', '.join(where)}" for name, where in exceptions.items()]
    if "restricted" in result:
        part = result["restricted"]
        lines += [
            "",
            f"## Among {part['classes']} classes",
            "",
            f"The suite has images of {part['classes']} of the model's classes. Above all of them compete; here only "
            "these do, at the same most certain tick.",
            "",
            *_table(part["models"], "all"),
            "",
            *_by_shift(part["models"], result["shifts"], baseline),
        ]
    return "\n".join(lines) + "\n"


COLUMNS = (
    *("model", "clean, %", "shifted, %", "kept, %", "difference", "mCE, %", "relative mCE, %", "calibration error"),
    *("certainty", "ticks clean, shifted", "E-I ratio clean, shifted"),
)


def _table(models: Mapping[str, Any], title: str) -> list[str]:
    clean = all("clean" in model["cells"] for model in models.values())
    return table(COLUMNS, (_row(name, model, title, clean) for name, model in models.items()))


def _by_shift(models: Mapping[str, Any], shifts: Iterable[str], baseline: str) -> list[str]:
    titles = [f"{name}, %" for name in models] + [f"{name} less {baseline}" for name in models if name != baseline]
    lines = []
    for shift in shifts:
        rows = {name: model["by_shift"][shift] for name, model in models.items()}
        accuracies = [percent(row["accuracy"]) for row in rows.values()]
        differences = [in_points(row["difference"]) for name, row in rows.items() if name != baseline]
        lines.append((shift, *accuracies, *differences))
    return table(("shift", *titles), lines)


def _row(name: str, model: Mapping[str, Any], title: str, clean: bool) -> list[str]:
    row, start = model["groups"][title], model["cells"].get("clean", {})
    return [
        name,
        percent(start.get("accuracy")),
        percent(row["accuracy"]),
        percent(row.get("accuracy_kept") if clean else None),
        in_points(row["difference"]),
        percent(row["mce"]),
        percent(row.get("relative_mce")),
        number(row["calibration_error"], ".3f"),
        number(row["certainty"], ".3f"),
        f"{number(start.get('ticks'))}, {number(row['ticks'])}",
        f"{number(start.get('ei_ratio'))}, {number(row['ei_ratio'])}",
    ]


def in_points(interval: Mapping[str, float] | None) -> str:
    """Return a difference with its interval, in bold where zero lies outside; a dash for none."""
    if interval is None:
        return "-"
    mean, low, high = (percent(interval[name], "+.2f") for name in ("mean", "low", "high"))
    text = f"{mean} ({low} to {high})"
    return f"**{text}**" if interval["low"] > 0 or interval["high"] < 0 else text
