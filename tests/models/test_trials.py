"""Trials of neuroscience: rules of the tasks, and series through every core."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import tide
from tide.data.drawn.trials import COHERENCES, DRAWS, NOISE, draw_decision, draw_flip_flop, draw_matching
from tide.errors import ConfigError, InputError
from tide.models.presets import preset
from tide.models.task_presets import SERIES_TASKS
from tide.nn import EIRNN
from tide.rl.agent import Agent


@pytest.mark.parametrize("name", DRAWS)
def test_trials_have_the_stated_shape_and_fixate_while_the_cue_is_on(name: str) -> None:
    draw, (length, size, labels) = DRAWS[name], SERIES_TASKS[name]
    shown, answers = draw(200, torch.Generator().manual_seed(0))
    assert shown.shape == (200, length, size)
    assert answers.shape == (200, length)
    assert sorted(answers.unique().tolist()) == list(range(len(labels)))
    if name != "flip_flop":
        assert (answers[shown[..., 0] == 1] == 0).all()
    again, _ = draw(200, torch.Generator().manual_seed(0))
    assert torch.equal(shown, again)


@pytest.mark.parametrize("coherence", COHERENCES)
def test_evidence_has_the_stated_strength_and_the_answer_is_the_stronger_side(coherence: float) -> None:
    shown, answers = draw_decision(4000, torch.Generator().manual_seed(1), coherence)
    first = answers[:, -1] == 1
    difference = shown[first, 1:21, 1] - shown[first, 1:21, 2]
    assert difference.mean().item() == pytest.approx(coherence / 100, abs=0.005)
    assert difference.std().item() == pytest.approx(NOISE * 2**0.5, rel=0.02)


def test_matching_compares_the_two_pictures() -> None:
    shown, answers = draw_matching(300, torch.Generator().manual_seed(2))
    sample, test = (shown[:, part, 1:].mean(1).argmax(1) for part in (slice(3, 8), slice(18, 23)))
    assert torch.equal(answers[:, -1] == 1, sample == test)


def test_a_flip_flop_keeps_its_last_pulse() -> None:
    shown, answers = draw_flip_flop(50, torch.Generator().manual_seed(3))
    pulses = shown[..., 1:].round()
    for trial in range(50):
        held = [0, 0, 0]
        for step in range(40):
            for bit in range(3):
                if pulses[trial, step, bit].abs() == 1:
                    held[bit] = int(pulses[trial, step, bit] > 0)
            assert answers[trial, step] == 4 * held[0] + 2 * held[1] + held[2]


MODELS = ["", "ctm.", "lstm.", "ei_rnn."]


@pytest.mark.parametrize("model", MODELS)
def test_a_series_is_followed_step_by_step_and_answers_each(model: str) -> None:
    thinker = tide.create(f"{model}decision", core={"ticks": 2}).eval()
    shown, _ = draw_decision(3, torch.Generator().manual_seed(4))
    out = thinker(shown)
    assert out.logits.shape == (3, 3, 22, 2)
    assert out.certainty.shape == (3, 2)
    # Nothing of later steps reaches an earlier answer.
    later = shown.clone()
    later[:, 10:] += 1
    moved = (thinker(later).logits - out.logits).abs().amax((0, 1, 3))
    assert (moved[:10] == 0).all()
    assert (moved[10:] > 0).all()
    # The same as an agent that is shown one step after the other.
    first = torch.zeros(22, 3, dtype=torch.bool)
    first[0] = True
    if model != "ctm.":
        start = thinker.cell.initial(3)
        context = thinker.cell.context(shown[:, 0])
        state, logits = start, []
        for step in shown.unbind(1):
            for _ in range(2):
                state, features = thinker.cell.step(thinker.cell.set_input(context, step), state)
            observed = {name: thinker.cell.observe(name, features)[:, None] for name in thinker.cell.used_by("readout")}
            logits.append(thinker.cell.readout(observed, None).logits[..., 0])
        torch.testing.assert_close(torch.stack(logits, 2), out.logits[..., -1], rtol=1e-4, atol=1e-5)
    assert Agent(thinker).start(2).batch == 2


def test_the_core_is_the_layer() -> None:
    thinker = tide.create("ei_rnn.decision").eval()
    rnn = EIRNN(3, 100, noise=0.1).eval()
    rnn.cells[0].load_state_dict(thinker.cell.layer.state_dict())
    shown, _ = draw_decision(3, torch.Generator().manual_seed(4))
    output, _ = rnn(shown.transpose(0, 1))
    logits = thinker.cell.head(rnn.excitatory(output)).permute(1, 2, 0)
    torch.testing.assert_close(thinker(shown).logits[..., 0], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("decision", {"input": {"length": 5}}, r"output\.positions must be \(5,\), an answer at each time step"),
        ("decision", {"backbone": {"features": 4}}, r"backbone\.features must be input\.size = 3 for a series, got 4"),
        ("decision", {"train": {"head_start": 2}}, r"train\.head_start must be 0, got 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset(name, **changes)


def test_series_of_another_shape_give_one_line() -> None:
    thinker = tide.create("ei_rnn.decision")
    with pytest.raises(InputError, match=r"must have shape \(B, 22, 3\), got \(22, 5, 3\); are batch and time swapped"):
        thinker(torch.zeros(22, 5, 3))
    with pytest.raises(InputError, match="series must be finite"):
        thinker(torch.full((2, 22, 3), torch.nan))
    with pytest.raises(InputError, match="halt must be left out for a series"):
        thinker.predict(torch.zeros(2, 22, 3), halt=0.9)
