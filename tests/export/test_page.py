"""The page in a real browser: it opens from disk, understands a drawing, and every number on it is torch's."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
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
from tide.errors import InputError
from tide.export.page import (
    BITS,
    DIGITS,
    Packed,
    Shown,
    as_text,
    check_operators,
    joined,
    modules,
    operators,
    script,
    source,
    write_page,
)
from tide.models.thinker import Thinker

NEURONS, EXCITATORY, TICKS, CLASSES, IMAGE = 128, 102, 10, 10, (1, 1, 16, 16)  # of pretrained:digits
RECORDED = {"certainty", "probability", "ei_ratio", "sync_power", "surprise", "gate", "lateral_iterations"}


def test_modules_are_joined_after_what_they_import_and_no_name_is_given_twice() -> None:
    order = modules()
    assert order[-1] == "main.js"
    assert order.index("reader/tensors.js") < order.index("reader/graph.js") < order.index("thought.js")
    text = script()
    assert "import " not in re.sub(r"//.*", "", text)
    assert not re.search(r"^export ", text, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:const|let|function|class) (\w+)", text, re.MULTILINE)
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert {"Conv", "Gemm", "LayerNormalization"} <= operators()


def test_the_page_asks_for_nothing() -> None:
    everything = "\n".join([script(), source("index.html"), source("style.css")])
    assert not re.search(r"https?:|\bfetch\(|XMLHttpRequest|WebSocket|@import|src=", everything)


@pytest.mark.parametrize("title", ["</script><script>alert(1)", "<!-- <script>", "a < b", "\u2028<", "\\u003c"])
def test_data_on_the_page_never_end_its_script_nor_begin_a_comment(title: str) -> None:
    whole = joined({"title": title})
    data = whole.partition('id="models"')[2].partition(">")[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data) == {"title": title}


def test_thirteen_bits_become_two_characters_and_come_back() -> None:
    content = np.random.default_rng(0).integers(0, 256, 1001, dtype=np.uint8).tobytes()
    digits = [DIGITS.tolist().index(ord(c)) for c in as_text(content)]
    bits = "".join(format(high * 91 + low, f"0{BITS}b") for high, low in zip(digits[::2], digits[1::2], strict=True))
    assert bytes(int(bits[i : i + 8], 2) for i in range(0, 8 * len(content), 8)) == content
    assert not set(as_text(content)) & set('"\\<')


def test_constants_are_kept_once_and_in_half_precision_only_where_that_is_exact() -> None:
    packed = Packed()
    exact, other = np.float32([[0.5, 1.25]]), np.float32([0.1])
    assert [packed.add(value) for value in (exact, other, exact.copy())] == [0, 1, 0]
    assert packed.number(exact.T) is None
    assert [kind for kind, _ in packed.as_json()["listed"]] == ["half", "float"]


@pytest.fixture(scope="module")
def model() -> Thinker:
    """The smallest network that understands a drawing."""
    pytest.importorskip("onnxscript", reason="no onnxscript: pip install 'tide-dynamics[export]'")
    return tide.pretrained("digits")


@pytest.fixture(scope="module")
def browser(model: Thinker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has opened the exported file from disk."""
    folder = tmp_path_factory.mktemp("page")
    with opened_browser(folder / "profile") as browser:
        write_page(folder / "page.html", [Shown("TIDE", model)])
        browser.open((folder / "page.html").as_uri() + "#still")
        browser.wait(READY)
        yield browser


def draw_three(browser: Browser) -> None:
    box = browser.value("JSON.parse(JSON.stringify(document.getElementById('pad').getBoundingClientRect()))")
    arcs = [(0.5 + 0.2 * math.sin(a), 0.32 - 0.16 * math.cos(a)) for a in np.linspace(-0.9, math.pi, 12)]
    arcs += [(0.5 + 0.22 * math.sin(a), 0.66 - 0.18 * math.cos(a)) for a in np.linspace(0, math.pi + 0.9, 12)]
    browser.drag(*((box["left"] + x * box["width"], box["top"] + y * box["height"]) for x, y in arcs))
    settled(browser)


def test_it_thinks_as_torch_does_about_a_drawing_and_when_inhibition_is_silenced(
    model: Thinker, browser: Browser
) -> None:
    assert browser.value("seeItThink.thoughts.length") == 0  # nothing is drawn, so nothing is answered
    assert browser.value(MESSAGE) == "Draw something, or choose a photo."
    draw_three(browser)
    assert browser.value(MESSAGE) == ""
    images = seen_by(browser, *IMAGE)
    assert 20 < int((images > 0.3).sum()) < 120  # strokes of a 3, not a blot
    expected = in_torch(model, images, TICKS)
    assert_computed(browser, expected)
    assert int(expected["logits"][-1].argmax()) == 3

    for tick in (0, 3, TICKS - 1):  # the slider is dragged
        browser.value(SET.format("tick", tick + 1))
        settled(browser)
        assert assert_shown(browser, expected, tick, CLASSES) >= RECORDED
        answer = int(expected["logits"][tick].argmax())
        assert browser.value(LABEL) == str(answer)

    browser.value(SET.format("silenceI", 1))
    browser.value(SET.format("inhibition", 0))
    browser.value(SET.format("longer", 2))
    settled(browser)
    silenced = torch.ones(NEURONS)
    silenced[EXCITATORY:] = 0
    changed = in_torch(model, images, 2 * TICKS, silenced, 0.0)
    assert changed["rates_i"].abs().max() == 0
    assert_computed(browser, changed)
    assert_shown(browser, changed, browser.value("seeItThink.state.tick"), CLASSES)

    browser.value("document.getElementById('reset').click()")
    settled(browser)
    assert_computed(browser, expected)


def test_noise_is_seen_and_goes_away_again(browser: Browser) -> None:
    before = seen_by(browser, *IMAGE)
    browser.value(SET.format("noise", 0.5))
    settled(browser)
    assert (seen_by(browser, *IMAGE) - before).abs().mean() > 0.05
    browser.value(SET.format("noise", 0))
    settled(browser)
    torch.testing.assert_close(seen_by(browser, *IMAGE), before, rtol=0, atol=0)


def test_keys_move_the_tick_and_what_is_no_image_is_refused_in_one_sentence(browser: Browser) -> None:
    browser.value(SET.format("tick", 2))
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        browser.value(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")
    settled(browser)
    assert browser.value("document.getElementById('tick-number').textContent") == f"tick 3 of {TICKS}"
    drop = "const d = new DataTransfer(); d.items.add(new File(['x'], 'a.txt', {type: 'text/plain'}));"
    dropped = "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true}));"
    browser.value(f"(() => {{ {drop} {dropped} }})()")
    browser.wait(f"{MESSAGE} !== ''")
    assert browser.value(MESSAGE) == "a.txt is no image: choose a PNG or JPEG file."


def test_it_plays_to_the_end_and_its_threshold_is_dragged(browser: Browser) -> None:
    browser.value("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true}))")
    assert browser.value("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    browser.wait(f"document.getElementById('tick-number').textContent === 'tick {TICKS} of {TICKS}'")
    browser.wait("document.getElementById('play').getAttribute('aria-label') === 'Play'")

    chart = "document.querySelector('.certainty canvas')"
    browser.value(f"{chart}.scrollIntoView({{block: 'center'}})")
    box = browser.value(f"JSON.parse(JSON.stringify({chart}.getBoundingClientRect()))")
    base, top, x = (browser.value(f"{chart}.scale.{name}") for name in ("base", "top", "end"))
    high = box["top"] + base + 0.9 * (top - base)
    browser.drag((box["left"] + x - 5, high), (box["left"] + x - 5, box["top"] + (base + top) / 2))
    settled(browser)
    assert browser.value("seeItThink.state.threshold") == pytest.approx(0.5, abs=0.01)
    sure = browser.value("seeItThink.thoughts[0].certainty.findIndex((value) => value >= seeItThink.state.threshold)")
    assert browser.value("document.querySelector('[data-quantity=stop]').textContent") == str(sure + 1)


def test_it_asked_for_one_file_only_and_nothing_went_wrong(browser: Browser) -> None:
    settled(browser)
    assert len(browser.requests) == 1
    assert browser.requests[0].startswith("file://")
    assert browser.complaints == []


def test_the_reader_refuses_an_unknown_operator_by_name(browser: Browser, tmp_path: Path) -> None:
    """In Python before the page is written, and on a page that holds one all the same."""
    with pytest.raises(InputError, match="TIDE needs the operator Hardmax, which the page's reader lacks"):
        check_operators("TIDE", {"Gemm", "Hardmax"})
    opened = Path(browser.value("location.pathname")).read_text(encoding="utf-8")
    foreign = tmp_path / "foreign.html"
    foreign.write_text(opened.replace('["Softmax",', '["Hardmax",'), encoding="utf-8")
    browser.open(foreign.as_uri())
    browser.wait("document.getElementById('message')?.textContent")
    told = "this page does not know the operator Hardmax; export the model as ONNX"
    assert browser.value(MESSAGE) == told
