"""The stability monitor: its quantities, and alarms that name the population that falls silent."""

from __future__ import annotations

import pytest
import torch

from tide.config import Config
from tide.data import Splits, to_float
from tide.models.thinker import Thinker
from tide.nn.constraints import RecurrentBlocks
from tide.train.monitor import StabilityMonitor, collapse_alarms, spectral_quantities
from tide.train.step import Trainer, make_optimizer


def quantities(ratio: float, silent_e: float = 0.0, silent_i: float = 0.0) -> dict[str, float]:
    return {"ei_ratio": ratio, "silent_e": silent_e, "silent_i": silent_i}


def test_an_alarm_names_the_silent_population() -> None:
    assert collapse_alarms(quantities(4.0), 4.0) == {}
    (excitatory,) = collapse_alarms(quantities(0.01), 4.0).values()
    assert "excitatory population falls silent" in excitatory
    (inhibitory,) = collapse_alarms(quantities(4000.0), 4.0).values()
    assert "inhibitory population falls silent" in inhibitory
    assert list(collapse_alarms(quantities(4.0, silent_i=0.95), 4.0)) == ["inhibitory"]


def test_quantities_of_a_real_step(tiny: Config, digits: Splits) -> None:
    model = Thinker(tiny.model)
    result = Trainer(model, make_optimizer(model, tiny.train), tiny).step(
        0, [(to_float(digits.train.images[:16]), digits.train.labels[:16])]
    )
    read, alarms = StabilityMonitor(model, 20).read(result.last)
    w = RecurrentBlocks(*(block.detach() for block in model.cell.blocks()))
    for name, block in w._asdict().items():
        assert read[f"sigma_{name}"] == pytest.approx(float(torch.linalg.svdvals(block)[0]), rel=1e-5)
    assert read["perron_ee"] == pytest.approx(float(torch.linalg.eigvals(w.ee).abs().max()), rel=1e-3)
    effective = torch.cat((torch.cat((w.ee, -w.ei), 1), torch.cat((w.ie, -w.ii), 1))).double()
    highest = float(torch.linalg.eigvals(0.5 * (effective + effective.T)).real.max())
    assert read["lds_lambda_max"] == pytest.approx(highest, rel=1e-4)
    assert read["rate_max"] == pytest.approx(float(result.last.out.dynamics.rates.detach().max()))
    components = {"backbone", "attention", "dynamics", "neuron_models", "synchrony", "head"}
    heads = {"memory_projection", "memory_reconstruction", "memory_gate"}
    assert all(read[f"gradient_{name}"] > 0 for name in components | heads)
    assert alarms == []


def test_growth_of_an_off_diagonal_block_raises_an_alarm_after_resume_too(tiny: Config) -> None:
    model = Thinker(tiny.model)
    monitor = StabilityMonitor(model, 20)

    def growth(monitor: StabilityMonitor, factor: float) -> list[str]:
        with torch.no_grad():
            model.cell.get_parameter("wilson_cowan.w_ei").mul_(factor)
        return monitor.alarms(spectral_quantities(model.cell.blocks(), 20) | quantities(4.0), 4.0)

    assert [growth(monitor, 1.0) for _ in range(5)] == [[]] * 5
    assert growth(monitor, 1.3) == []
    assert growth(monitor, 1.3) == []
    resumed = StabilityMonitor(model, 20)
    resumed.load_state_dict(monitor.state_dict())
    (alarm,) = growth(resumed, 1.3)
    assert "W_EI keeps growing" in alarm
    assert growth(resumed, 1.3) == []  # it rings already
    assert growth(resumed, 0.5) == []
    assert [len(growth(resumed, 1.5)) for _ in range(4)] == [0, 0, 1, 0]
