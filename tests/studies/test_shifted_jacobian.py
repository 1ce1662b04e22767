"""The Jacobian's radius under shift is the one that ``tide stability`` reports."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from tide.analysis.stability import spectra_at
from tide.analysis.states import follow
from tide.data import ImageSet, to_float
from tide.studies.robustness import CLEAN, Asked, CellAnswers, Shift, Suite, ask
from tide.studies.shifted_jacobian import hardest, jacobian_markdown, radii_under_shift


def test_radii_are_those_of_the_stability_report_on_the_same_images(tiny_model, tmp_path) -> None:
    images = torch.randint(256, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    clean = ImageSet(images, torch.arange(5) % 4, ("a", "b", "c", "d"))

    def darker(shift: Shift, positions: torch.Tensor | None) -> ImageSet:
        some = clean.select(torch.arange(5) if positions is None else positions)
        return ImageSet(some.images // (1 + (shift.severity or 0)), some.labels, some.classes)

    shifts = (Shift("dark", 1), Shift("dark", 3), Shift("once", None))
    suite = Suite("dark", clean, shifts, darker)
    assert hardest(suite) == [CLEAN, Shift("dark", 3), Shift("once", None)]
    tide, ctm = tiny_model(torch.float32), tiny_model(torch.float32, kind="ctm")
    (tmp_path / "model.safetensors").touch()
    models = [Asked("tide", tide, tmp_path), Asked("ctm", ctm, tmp_path)]
    answers: dict[str, dict[Shift, CellAnswers]] = ask(models, suite, tmp_path / "out", {})
    found = radii_under_shift(models, suite, answers, 3)
    assert tide.mean.dtype == torch.float32
    assert list(found["models"]) == ["tide"]
    exact = deepcopy(tide).double()
    for name, shift in (("clean", None), ("dark", Shift("dark", 3)), ("once", Shift("once", None))):
        chosen = torch.tensor([0, 2, 4])
        pixels = (clean.select(chosen) if shift is None else darker(shift, chosen)).images
        spectra = spectra_at(exact, follow(exact, to_float(pixels).double()), [3])
        row = found["models"]["tide"][name]
        ends = (spectra["rates"][0]["radius_least"], spectra["rates"][0]["radius_most"])
        assert (row["least"], row["most"]) == pytest.approx(ends, rel=1e-4)
        assert row["least"] <= row["mean"] <= row["most"]
        assert row["core"] == pytest.approx(spectra["core"]["radius"], rel=1e-4)
    assert f"| dark | {found['models']['tide']['dark']['mean']:.4f} (" in jacobian_markdown(found)
