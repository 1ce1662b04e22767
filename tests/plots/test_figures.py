"""Writing pictures, and what their axes have in common."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from tide.plots.axes import headroom, shown_ticks, whole_numbers
from tide.plots.halting import draw_ticks, has_ticks
from tide.studies import publish as figures


def test_characters_that_no_font_has_are_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_cjk_fonts", list)
    figure = Figure()
    figure.suptitle("猫と犬")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figures.save(figure, tmp_path / "names.png")
    (told,) = caught
    assert "no installed font has some of its characters" in str(told.message)
    assert (tmp_path / "names.png").is_file()


def test_names_in_characters_of_asia_fall_back_to_installed_fonts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [font.name for font in fontManager.ttflist][:1]
    monkeypatch.setattr(figures, "_cjk_fonts", lambda: asked)
    plain, other = Figure(), Figure()
    before = plain.suptitle("cat").get_fontfamily()
    text = other.suptitle("cat é")
    figures.save(other, tmp_path / "plain.png")
    assert text.get_fontfamily() == before
    text.set_text("猫")
    with pytest.warns(UserWarning, match="no installed font"):
        figures.save(other, tmp_path / "names.png")
    assert text.get_fontfamily() == [*before, *asked]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_share_of_the_height_is_left_above_the_curves(scale: str) -> None:
    axes = Figure().subplots()
    axes.plot([1, 2, 3], [1.0, 10.0, 100.0])
    axes.set_yscale(scale)
    low, high = axes.get_ylim()
    headroom(axes, 0.25)
    bottom, top = axes.yaxis.get_transform().transform(np.array(axes.get_ylim()))
    before = axes.yaxis.get_transform().transform(np.array([high]))[0]
    assert axes.get_ylim()[0] == low
    assert (top - before) / (top - bottom) == pytest.approx(0.25)
    whole_numbers(axes)
    assert all(mark == round(mark) for mark in axes.get_xticks())


def test_no_tick_is_shown_twice() -> None:
    assert shown_ticks(3) == [0, 1, 2]
    assert shown_ticks(25) == [0, 5, 10, 14, 19, 24]


def test_ticks_are_drawn_by_their_number_and_tick_by_tick_with_the_neurons_of_equal_operations() -> None:
    def row(ticks: int, neurons: int, accuracy: float) -> dict[str, object]:
        curve = [accuracy / 2] * (ticks - 1) + [accuracy]
        told = {"variant": str(ticks), "last_accuracy": accuracy, "accuracy_per_tick": curve, "whole_accuracy": None}
        return {"ticks": ticks, "neurons": neurons, "is_baseline": (ticks, neurons) == (4, 100), **told}

    studies = {
        "ticks": {"rows": [row(1, 100, 0.5), row(4, 100, 0.7), row(8, 100, 0.9)]},
        "ticks-at-equal-operations": {"rows": [row(1, 300, 0.6), row(4, 100, 0.7)]},
    }
    result = {"data": "parity", "steps": 3, "batch": 64, "seed": 1, "studies": studies}
    assert has_ticks(result)
    assert not has_ticks({"studies": {"tau-e": {"rows": []}}})
    trained, within = draw_ticks(result).axes
    assert [line.get_xydata().tolist() for line in trained.lines] == [[[1, 50], [4, 70], [8, 90]], [[1, 60], [4, 70]]]
    assert [text.get_text() for text in trained.texts] == ["300 neurons"]
    assert within.lines[1].get_xydata().tolist() == [[1, 35], [2, 35], [3, 35], [4, 70]]
    for study in studies.values():
        for made in study["rows"]:
            made["whole_accuracy"] = made["last_accuracy"] / 2  # type: ignore[operator]
    _, whole, _ = draw_ticks(result).axes
    assert whole.lines[1].get_xydata().tolist() == [[1, 30], [4, 35]]


def test_dollars_in_the_name_of_a_class_are_no_formula(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    axes.set_title(r"$\foo{$")
    axes.semilogy([1, 10], label="a$b^$c")
    axes.set_xticks([0, 1], labels=[r"\frac$ $", "plain"])
    axes.legend()
    figures.save(figure, tmp_path / "figure.png")
    assert not axes.title.get_parse_math()
    assert axes.yaxis.get_ticklabels()[0].get_parse_math()  # powers of ten stay formulas
    assert not axes.xaxis.get_ticklabels()[0].get_parse_math()
