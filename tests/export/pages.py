"""What tests of the page have in common: using it in a browser, and every number on it beside torch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.export.browser import Browser, found
from tide.export.graphs import can_intervene, graphs, input_name
from tide.models.saved import rounded
from tide.models.thinker import Thinker

WITHIN = 1e-4
READY = "!!(window.seeItThink?.ready && (seeItThink.thoughts.length || !seeItThink.state.shown))"
SET = "(() => {{ const s = document.getElementById('{}'); s.value = {}; s.dispatchEvent(new Event('input')); }})()"
LABEL = "document.querySelector('.label').textContent"
MESSAGE = "document.getElementById('message').textContent"


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser]:
    """Start a browser; skip the test where there is none."""
    binary = found()
    if binary is None:
        pytest.skip("no browser: install Chromium (Debian: apt-get install chromium) or set TIDE_BROWSER")
    pytest.importorskip("websockets", reason="no websockets: pip install 'tide-dynamics[dev]'")
    with Browser(binary, profile) as browser:
        browser.screen(1280, 1400)
        yield browser


def settled(browser: Browser) -> None:
    """Wait until the next frame is drawn."""
    browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")


def seen_by(browser: Browser, *shape: int) -> Tensor:
    """Return what the page thinks about."""
    return torch.tensor(browser.value("Array.from(seeItThink.state.seen)"), dtype=torch.float32).reshape(shape)


def in_torch(
    model: Thinker, shown: Tensor, ticks: int, active: Tensor | None = None, inhibition: float = 1.0
) -> dict[str, Tensor]:
    """Return every quantity (T, ...) from the three graphs in torch, weights rounded as the page's are."""
    intervenes = can_intervene(model)
    made, seen = graphs(rounded(model), interventions=intervenes), {}
    values = {input_name(model.config): shown}
    if intervenes:
        everyone = torch.ones(model.config.core.neurons)
        values |= {"active": everyone if active is None else active, "inhibition": torch.tensor(inhibition)}
    values |= made["begin"](**{name: values[name] for name in made["begin"].inputs})
    for _ in range(ticks):
        for name in ("tick", "read"):
            values |= made[name](**{wanted: values[wanted] for wanted in made[name].inputs})
        values |= {name.removeprefix("next_"): value for name, value in values.items() if name.startswith("next_")}
        for name in (*model.cell.observables, "logits", "certainty"):
            seen.setdefault(name, []).append(values[name].reshape(-1))
    return {name: torch.stack(steps) for name, steps in seen.items()}


def assert_computed(browser: Browser, expected: dict[str, Tensor]) -> None:
    """Compare everything that the page computed with torch's."""
    plain = "([name, steps]) => [name, steps.map((step) => Array.from(step))]"
    seen = browser.value(f"Object.fromEntries(Object.entries(seeItThink.thoughts[0].seen).map({plain}))")
    assert seen.keys() == expected.keys()
    for name, values in seen.items():
        torch.testing.assert_close(torch.tensor(values).float(), expected[name], atol=WITHIN, rtol=WITHIN, msg=name)


def assert_shown(browser: Browser, expected: dict[str, Tensor], tick: int, classes: int) -> set[str]:
    """Compare every number that stands on the page at ``tick`` (from 0) with torch's; return the quantities' names."""
    place = "Number(e.dataset.class ?? 0), Number(e.dataset.place ?? 0)"
    read = f"(e) => [e.dataset.quantity, {place}, Number(e.textContent)]"
    shown = browser.value(f"[...document.querySelectorAll('[data-quantity]')].map({read})")
    probabilities = expected["logits"].reshape(len(expected["logits"]), classes, -1).softmax(1)
    sure = (expected["certainty"][:, 0] >= 0.9).nonzero()
    for name, number, position, value in shown:
        if name == "stop":
            assert value == int(sure[0]) + 1
        elif name == "probability":
            assert value == pytest.approx(float(probabilities[tick, number, position]), abs=WITHIN)
        elif name != "emitted":
            assert value == pytest.approx(float(expected[name][tick, 0]), abs=WITHIN, rel=WITHIN), name
    return {name for name, *_ in shown}
