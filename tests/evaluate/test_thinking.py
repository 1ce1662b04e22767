"""What changes from tick to tick, against slow versions; thinking longer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tide.evaluate.thinking import LongerThought, thinking_on
from tide.models.presets import preset
from tide.models.thinker import Thinker

CORE = {"neurons": 30, "ticks": 5}


def parity_model(model: str) -> tuple[Thinker, torch.Tensor]:
    config = preset(model + "parity.16", core=CORE | ({} if model else {"synchrony": {"pairs_ii": 8}}))
    bits = 2.0 * torch.randint(2, (12, 16), generator=torch.Generator().manual_seed(0)) - 1
    return Thinker(config.model).eval(), bits


def test_readings_of_tide_equal_slow_ones():
    model, bits = parity_model("")
    found = thinking_on(model, bits)
    names = ("corrected_e", "corrected_i", "latent", "attention", "drive")
    with torch.no_grad():
        trace = {name: value.double().numpy() for name, value in model(bits, record=names).trace.items()}
    rates = np.concatenate((trace["corrected_e"], trace["corrected_i"]), 2)
    w = model.cell.blocks().effective().detach().double().numpy()
    start = model.cell.wilson_cowan.start.detach().double().numpy()
    for tick in range(5):
        before = np.tile(start, (12, 1)) if tick == 0 else rates[:, tick - 1]
        brought_back = np.array([[sum(w[i] * r) for i in range(30)] for r in before])
        assert found.recurrent[tick] == pytest.approx(brought_back.std(0, ddof=1).mean(), rel=1e-4, abs=1e-7)
        assert found.drive[tick] == pytest.approx(trace["drive"][:, tick].std(0, ddof=1).mean(), rel=1e-5)
        spectrum = np.linalg.eigvalsh(np.cov(rates[:, tick].T))
        assert found.dimensions[tick] == pytest.approx(spectrum.sum() ** 2 / (spectrum**2).sum(), rel=1e-6)
        if tick == 0:
            assert math.isnan(found.activity_change[0])
            continue
        pairs = list(zip(rates[:, tick], rates[:, tick - 1], strict=True))
        change = np.mean([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])
        assert found.activity_change[tick] == pytest.approx(change, rel=1e-6)
        z = list(zip(trace["latent"][:, tick], trace["latent"][:, tick - 1], strict=True))
        turn = np.mean([1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in z])
        assert found.query_change[tick] == pytest.approx(turn, rel=1e-5, abs=1e-8)
        moved = np.abs(trace["attention"][:, tick] - trace["attention"][:, tick - 1]).sum(-1).mean()
        assert found.attention_change[tick] == pytest.approx(moved, rel=1e-5)


@pytest.mark.parametrize("model", ["ctm.", "lstm."])
def test_a_baseline_has_all_but_what_is_of_two_populations(model):
    found = thinking_on(*parity_model(model))
    assert found.recurrent is None
    assert found.drive is None
    for values in (found.activity_change, found.query_change, found.attention_change):
        assert len(values) == 5
        assert all(value > 0 for value in values[1:])
    assert all(1 <= value <= 12 for value in found.dimensions)


def test_multiples_go_as_far_as_the_thought():
    longer = LongerThought(2, [tick / 20 for tick in range(20)], [tick / 40 for tick in range(20)])
    rows = longer.multiples()
    assert [row["times"] for row in rows] == [1, 2, 4, 10]
    assert [row["last"] for row in rows] == [1 / 20, 3 / 20, 7 / 20, 19 / 20]
    assert [row["most_certain"] for row in rows] == [1 / 40, 3 / 40, 7 / 40, 19 / 40]
    assert rows[0]["whole_last"] is None
