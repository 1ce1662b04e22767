"""The page of tasks in a real browser: bits, mazes and lists are asked and answered as in torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tide
from tests.export.browser import Browser
from tests.export.pages import (
    LABEL,
    MESSAGE,
    READY,
    SET,
    assert_computed,
    assert_shown,
    in_torch,
    opened_browser,
    seen_by,
    settled,
)
from tide.data import DrawnSet, drawn_test, to_float
from tide.data.drawn.mazes import END, shortest_route, walk
from tide.errors import InputError
from tide.export.page import MOST_PARAMETERS, Shown, check_size, page, write_page
from tide.models.heads import emitted
from tide.models.load import outline
from tide.models.presets import preset
from tide.models.thinker import Thinker

TICKS = 5


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("onnxscript", reason="no onnxscript: pip install 'tide-dynamics[export]'")
    with opened_browser(tmp_path_factory.mktemp("tasks") / "profile") as browser:
        yield browser


def opened(browser: Browser, folder: Path, name: str, task: str) -> tuple[Thinker, DrawnSet]:
    """Export a network as it begins, with test samples, and open its page."""
    model = tide.create(name, core={"ticks": 8 if task == "sort" else TICKS}).eval()
    samples = drawn_test(task, model.config)
    write_page(folder / "page.html", [Shown("it", model, task)], samples)
    browser.requests.clear()
    browser.open((folder / "page.html").as_uri() + "#still")
    browser.wait(READY)
    return model, samples


def at(browser: Browser, tick: int) -> None:
    browser.value(SET.format("tick", tick + 1))
    settled(browser)


def assert_clean(browser: Browser) -> None:
    assert len(browser.requests) == 1
    assert browser.complaints == []


def test_bits_are_toggled_typed_and_solved_place_by_place(browser: Browser, tmp_path: Path) -> None:
    model, samples = opened(browser, tmp_path, "parity.16", "parity")
    first = samples.select(slice(1))
    torch.testing.assert_close(seen_by(browser, 1, 16), first.images)
    assert browser.value("seeItThink.thoughts[0].right") == first.labels[0].tolist()
    assert browser.value("document.querySelectorAll('#examples button').length") == 10
    assert browser.value("!!document.getElementById('noise')") is False  # another bit is another question

    browser.value(SET.format("typed", "'0110100110010110'"))
    settled(browser)
    browser.value("document.querySelectorAll('#bits button')[15].click()")
    settled(browser)
    bits = torch.tensor([[-1.0 if bit == "1" else 1.0 for bit in "0110100110010111"]])
    torch.testing.assert_close(seen_by(browser, 1, 16), bits)
    odd = (bits[0] < 0).cumsum(0) % 2
    expected = in_torch(model, bits, TICKS)
    assert_computed(browser, expected)
    for tick in (0, TICKS - 1):
        at(browser, tick)
        assert {"certainty", "probability", "ei_ratio"} <= assert_shown(browser, expected, tick, 2)
        right = int((expected["logits"][tick].reshape(2, 16).argmax(0) == odd).sum())
        assert browser.value(LABEL).split() == [str(right), "/", "16"]

    browser.value(SET.format("typed", "'01x'"))
    assert browser.value(MESSAGE) == "“x” is no bit: write 0 and 1, 16 of them."
    browser.value(SET.format("silenceE", 1))
    browser.value(SET.format("longer", 2))
    settled(browser)
    active = torch.ones(128)
    active[:102] = 0
    assert_computed(browser, in_torch(model, bits, 2 * TICKS, active))
    assert_clean(browser)


def test_a_grid_is_filled_in_typed_and_solved_cell_by_cell(browser: Browser, tmp_path: Path) -> None:
    model, samples = opened(browser, tmp_path, "sudoku.4", "sudoku")
    first = samples.select(slice(1))
    torch.testing.assert_close(seen_by(browser, 1, 16), first.images)
    assert browser.value("seeItThink.thoughts[0].right") == first.labels[0].tolist()

    browser.value(SET.format("typed", "'1000020000300004'"))  # eleven ways to fill it in
    settled(browser)
    assert browser.value("seeItThink.thoughts[0].right") is None
    assert browser.value(MESSAGE) == "These numbers have more than one solution: give some more."
    second = samples.select(slice(1, 2))
    text = "".join(str(int(number)) for number in second.images[0])
    browser.value(SET.format("typed", f"'{text}'"))
    settled(browser)
    assert browser.value(MESSAGE) == ""
    expected = in_torch(model, second.images, TICKS)
    assert_computed(browser, expected)
    for tick in (0, TICKS - 1):
        at(browser, tick)
        assert {"certainty", "probability"} <= assert_shown(browser, expected, tick, 4)
        right = int((expected["logits"][tick].reshape(4, 16).argmax(0) == second.labels[0]).sum())
        assert browser.value(LABEL).split() == [str(right), "/", "16"]

    browser.value("document.querySelectorAll('#cells button')[0].click()")
    settled(browser)
    shown = browser.value("Number(document.querySelectorAll('#cells button')[0].textContent)")
    assert shown == (int(text[0]) + 1) % 5
    browser.value(SET.format("typed", "'1100000000000000'"))
    assert browser.value(MESSAGE).startswith("These numbers have no solution")
    browser.value(SET.format("typed", "'9'"))
    assert browser.value(MESSAGE) == "“9” is no number of a cell: write 0 to 4."
    assert_clean(browser)


def test_a_maze_is_walled_up_opened_and_walked(browser: Browser, tmp_path: Path) -> None:
    model, samples = opened(browser, tmp_path, "ctm.maze.9", "maze")
    first = samples.select(slice(1))
    route = first.labels[0]
    assert browser.value("seeItThink.thoughts[0].right") == route.tolist()
    images = to_float(first.images)
    torch.testing.assert_close(seen_by(browser, 1, 3, 9, 9), images)
    expected = in_torch(model, images, TICKS)
    assert_computed(browser, expected)
    length = int((route != END).sum())
    for tick in (1, TICKS - 1):
        at(browser, tick)
        assert_shown(browser, expected, tick, 5)
        moves = expected["logits"][tick].reshape(5, 20).argmax(0)
        prefix = int((moves == route).long().cumprod(0).sum())
        assert browser.value(LABEL).split() == [str(min(prefix, length)), "/", str(length)]
        taken = int(walk(first.images, moves[None]).taken)
        told = browser.value("document.querySelector('.image canvas').getAttribute('aria-label')")
        assert told.startswith(f"Maze; the route goes {taken} moves, ")

    row, column = walk(first.images, route[None]).places[0, 1].tolist()  # the only way out of the start
    box = browser.value("JSON.parse(JSON.stringify(document.getElementById('pad').getBoundingClientRect()))")
    spot = (box["left"] + (column + 0.5) / 9 * box["width"], box["top"] + (row + 0.5) / 9 * box["height"])
    browser.drag(spot)
    assert browser.value(MESSAGE) == "There is no way from the red start to the green goal: open a wall."
    torch.testing.assert_close(seen_by(browser, 1, 3, 9, 9), images)  # what cannot be walked is not thought about
    browser.drag(spot)
    settled(browser)
    assert browser.value(MESSAGE) == ""

    browser.value("document.getElementById('fresh').click()")
    settled(browser)
    fresh = (255 * seen_by(browser, 3, 9, 9)).byte()
    found = browser.value("seeItThink.thoughts[0].right")
    moves = shortest_route(fresh)
    assert (fresh.amax(0) > 0).sum() == 31  # a tree of 16 cells and 15 ways between them
    assert found == (moves + [END] * 20)[:20]
    assert_clean(browser)


def test_a_list_is_emitted_as_torch_decodes_it(browser: Browser, tmp_path: Path) -> None:
    model, _ = opened(browser, tmp_path, "ctm.sort.8", "sort")
    browser.value(SET.format("typed", "'0.5, -1, 2, 0.1, -0.3, 0, 1, -2'"))
    settled(browser)
    numbers = torch.tensor([[0.5, -1, 2, 0.1, -0.3, 0, 1, -2]])
    assert browser.value("seeItThink.thoughts[0].right") == numbers[0].argsort().tolist()
    expected = in_torch(model, numbers, 8)
    assert_computed(browser, expected)
    out = emitted(expected["logits"].T[None], 8)[0]
    wanted = [[int(place) for place in tick if place >= 0] for tick in out.T]
    assert browser.value("seeItThink.thoughts[0].answers") == wanted
    at(browser, 7)
    shown = browser.value("[...document.querySelectorAll('[data-quantity=emitted]')].map((e) => e.textContent)")
    assert shown == [f"{float(numbers[0, p]):.2f}" for p in wanted[7]] + ["–"] * (8 - len(wanted[7]))
    assert (
        browser.value("document.querySelector('[data-quantity=certainty]').textContent") == f"{len(wanted[7]) / 8:.4f}"
    )
    browser.value(SET.format("typed", "'1, 1, 2, 3, 4, 5, 6, 7'"))
    assert browser.value(MESSAGE) == "A number stands there twice: there is no one order."
    assert_clean(browser)


def test_what_fits_no_page_is_refused_in_one_line() -> None:
    with pytest.raises(
        InputError, match=r"TIDE must have at most 20,000,000 parameters for a page, got 63,461,152; use --out"
    ):
        check_size("TIDE", outline(preset("imagenet").model))
    assert sum(p.numel() for p in outline(preset("maze").model).parameters()) < MOST_PARAMETERS
    with pytest.raises(InputError, match="the model must take images or a sequence, got a schedule"):
        page([Shown("TIDE", tide.create("qamnist.small"))])
    both = [Shown(name, tide.create(name)) for name in ("parity.16", "sort.8")]
    with pytest.raises(InputError, match="bits of 16 to answer by positions and numbers of 8 to answer by list"):
        page(both)
