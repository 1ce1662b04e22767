"""The excitatory-inhibitory layer: against a loop over neurons, gradients, noise, signs, the shapes of nn.RNN."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

import tide
from tests import slow
from tide.analysis.lyapunov import certify
from tide.errors import ConfigError, InputError
from tide.nn import EIRNN, EICell, project_

PHI = {
    "relu": lambda h: max(h, 0.0),
    "softplus": lambda h: math.log1p(math.exp(-abs(h))) + max(h, 0.0),
    "retanh": lambda h: math.tanh(max(h, 0.0)),
}


def layer(inputs: int = 3, neurons: int = 10, **options: Any) -> EIRNN:
    torch.manual_seed(0)
    made = EIRNN(inputs, neurons, **options).double()
    nn.init.normal_(made.cell.bias)
    return made


def series(steps: int = 6, batch: int = 2, inputs: int = 3) -> torch.Tensor:
    return torch.randn(steps, batch, inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("dynamics", ["rates", "currents"])
@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("dale", ["projection", "magnitude", "none"])
def test_equals_a_loop_over_neurons(dynamics: str, activation: str, dale: str) -> None:
    rnn = layer(dynamics=dynamics, activation=activation, dale=dale, tau_e=50.0, tau_i=80.0)
    x, cell = series(), rnn.cell
    start = torch.rand(1, 2, 10, dtype=torch.float64)
    output, h_n = rnn(x, start)
    w, u, b = (value.detach().numpy() for value in (cell.effective_weight(), cell.weight_ih, cell.bias))
    alpha = cell.alpha.numpy()
    np.testing.assert_allclose(alpha, [20 / 50] * 8 + [20 / 80] * 2, rtol=1e-6)
    for sample in range(2):
        states = slow.ei_rnn(x[:, sample].numpy(), start[0, sample].numpy(), w, u, b, alpha, dynamics, PHI[activation])
        np.testing.assert_allclose(h_n[0, sample].detach().numpy(), states[-1], rtol=1e-6, atol=1e-9)
        expected = states if dynamics == "rates" else [[PHI[activation](h) for h in state] for state in states]
        np.testing.assert_allclose(output[:, sample].detach().numpy(), np.array(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dynamics", ["rates", "currents"])
@pytest.mark.parametrize("activation", ["softplus", "retanh", "relu"])
@pytest.mark.parametrize("norm", ["none", "rms", "rms_cap"])
def test_gradcheck(dynamics: str, activation: str, norm: str) -> None:
    if norm != "none" and dynamics == "currents":
        pytest.skip("currents have no norm")
    rnn = layer(dynamics=dynamics, activation=activation, norm=norm)
    inputs = (series(4).requires_grad_(), torch.rand(1, 2, 10, dtype=torch.float64, requires_grad=True))
    parameters = tuple(rnn.parameters())
    assert torch.autograd.gradcheck(lambda x, h, *_: rnn(x, h), (*inputs, *parameters), fast_mode=True)


@pytest.mark.parametrize("dynamics", ["rates", "currents"])
def test_noise_moves_the_state_by_the_stated_deviation(dynamics: str) -> None:
    """Without connections and input a step adds σ √(2 α) to the state (currents), or to φ's argument over α (rates)."""
    rnn = EIRNN(1, 2000, dynamics=dynamics, noise=0.5, tau_e=100.0, tau_i=50.0, activation="relu")
    with torch.no_grad():
        rnn.cell.weight_hh.zero_()
        rnn.cell.weight_ih.zero_()
        rnn.cell.bias.fill_(100.0)  # far from where φ bends
    _, h = rnn(torch.zeros(1, 20, 1))
    for part, tau in ((slice(0, 1600), 100.0), (slice(1600, None), 50.0)):
        alpha = 20 / tau
        spread = (h[0, :, part] - alpha * 100).std().item()
        assert spread == pytest.approx(0.5 * math.sqrt(2 * alpha), rel=0.03)
    rnn.eval()
    assert torch.equal(rnn(torch.zeros(1, 20, 1))[1], rnn(torch.zeros(1, 20, 1))[1])
    noisy = EIRNN(1, 4, noise=0.5, noise_in_eval=True, generator=torch.Generator().manual_seed(3)).eval()
    again = EIRNN(1, 4, noise=0.5, noise_in_eval=True, generator=torch.Generator().manual_seed(3)).eval()
    again.load_state_dict(noisy.state_dict())
    assert torch.equal(noisy(torch.ones(5, 2, 1))[0], again(torch.ones(5, 2, 1))[0])


@pytest.mark.parametrize("dynamics", ["rates", "currents"])
def test_converges_to_its_differential_equation_at_order_one(dynamics: str) -> None:
    base = layer(dynamics=dynamics, activation="softplus", dt=4.0, tau_e=100.0, tau_i=60.0)
    x = torch.ones(1, 1, 3, dtype=torch.float64)
    w, u, b = (v.detach().numpy() for v in (base.cell.effective_weight(), base.cell.weight_ih, base.cell.bias))
    drive, tau = u @ np.ones(3) + b, np.array([100.0] * 8 + [60.0] * 2)

    def softplus(h: np.ndarray) -> np.ndarray:
        return np.logaddexp(0, h)

    def flow(_: float, y: np.ndarray) -> np.ndarray:
        goal = softplus(w @ y + drive) if dynamics == "rates" else w @ softplus(y) + drive
        return (goal - y) / tau

    exact = solve_ivp(flow, (0, 80), np.zeros(10), rtol=1e-10, atol=1e-12).y[:, -1]
    errors = []
    for dt in (4.0, 2.0, 1.0):
        rnn = layer(dynamics=dynamics, activation="softplus", dt=dt, tau_e=100.0, tau_i=60.0)
        rnn.load_state_dict(base.state_dict())
        _, h = rnn(x.expand(int(80 / dt), 1, 3))
        errors.append(np.abs(h[0, 0].detach().numpy() - exact).max())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("dale", ["projection", "magnitude"])
def test_signs_hold_after_training_and_nothing_connects_to_itself(dale: str) -> None:
    rnn = layer(dale=dale, nonnegative_input=True)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=1.0)
    for _ in range(5):
        optimizer.zero_grad()
        rnn(series())[0].sub(1).square().sum().backward()
        optimizer.step()
        project_(rnn)
    w = rnn.cell.effective_weight().detach()
    assert (w[:, :8] >= 0).all()
    assert (w[:, 8:] <= 0).all()
    assert (w.diagonal() == 0).all()
    assert (rnn.cell.weight_ih >= 0).all()


def test_a_balanced_start_cancels_and_a_mask_holds() -> None:
    w = EIRNN(3, 200, autapses=True).cell.effective_weight().detach()
    torch.testing.assert_close(w.sum(1), torch.zeros(200), atol=1e-4, rtol=0)
    mask = (torch.rand(10, 10) < 0.5).double()
    rnn = layer(mask=mask)
    w = rnn.cell.effective_weight()
    assert (w[mask == 0] == 0).all()
    (slope,) = torch.autograd.grad(w.square().sum(), rnn.cell.weight_hh)
    assert (slope[mask == 0] == 0).all()


def test_goes_on_from_a_state_and_the_cell_takes_the_same_steps() -> None:
    rnn, x = layer(), series()
    whole, last = rnn(x)
    first, h = rnn(x[:2])
    second, after = rnn(x[2:], h)
    torch.testing.assert_close(torch.cat((first, second)), whole)
    torch.testing.assert_close(after, last)
    state = torch.zeros(2, 10, dtype=torch.float64)
    for step, expected in zip(x, whole, strict=True):
        output, state = rnn.cell(step, state)
        torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
def test_shapes_are_those_of_nn_rnn(layers: int, batch_first: bool) -> None:
    ours = EIRNN(3, 10, layers, batch_first=batch_first, learned_start=True)
    theirs = nn.RNN(3, 10, layers, batch_first=batch_first)
    for shape in ((6, 2, 3), (6, 3)):
        x = torch.randn(shape)
        for a, b in zip(ours(x), theirs(x), strict=True):
            assert a.shape == b.shape
    output, _ = ours(torch.randn(6, 2, 3))
    assert ours.excitatory(output).shape == (6, 2, 8)
    assert ours.inhibitory(output).shape == (6, 2, 2)
    output.sum().backward()
    assert all(p.grad is not None for p in ours.parameters())


def test_copies_pickles_and_state_dicts_answer_alike() -> None:
    rnn, x = EIRNN(3, 10), torch.randn(4, 2, 3)
    other = EIRNN(3, 10)
    other.load_state_dict(rnn.state_dict())
    for one in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), other, torch.compile(rnn, backend="eager")):
        torch.testing.assert_close(one(x)[0], rnn(x)[0])


@pytest.mark.parametrize("guarantee", ["contraction", "lds"])
def test_a_guarantee_holds_and_is_confirmed(guarantee: str) -> None:
    rnn = layer(neurons=20, guarantee=guarantee)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=5.0)
    rnn(series())[0].sub(5).square().sum().backward()
    optimizer.step()
    project_(rnn)
    rate = rnn.cell.certified_rate()
    assert rate is not None
    assert rate < 1
    if guarantee == "lds":
        assert certify(rnn.cell.effective_weight().detach()).answer == "proved"
        return
    x, generator = series(40), torch.Generator().manual_seed(2)
    starts = torch.rand(2, 1, 2, 20, generator=generator, dtype=torch.float64)
    gap = (rnn(x, starts[0])[1] - rnn(x, starts[1])[1]).norm()
    assert gap <= 10 * rate**40 * (starts[0] - starts[1]).norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 200.0}, "dt must be above 0 and at most tau_e = 100 ms, got 200"),
        ({"mask": torch.ones(3, 3)}, r"mask must be 0 and 1 of shape \(10, 10\), got \(3, 3\)"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"tau_e": torch.ones(3) * 100}, "tau_e must be a number or one for each of 8 neurons"),
        ({"dale": "song"}, "dale must be one of projection, magnitude, none, got 'song'"),
        ({"norm": "rms", "dynamics": "currents"}, "norm must be none with dynamics currents, got rms"),
        ({"guarantee": "contraction", "dale": "magnitude"}, "guarantee must be none but for dale projection"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"e_fraction": 0.0}, "e_fraction must be above 0"),
    ],
)
def test_bad_options_give_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EIRNN(3, 10, **options)


def test_inputs_of_another_shape_give_one_line() -> None:
    rnn = EIRNN(3, 10)
    with pytest.raises(InputError, match=r"x must have shape \(time, batch, 3\), got \(4, 2, 5\)"):
        rnn(torch.zeros(4, 2, 5))
    with pytest.raises(
        InputError, match=r"h must have shape \(1, 2, 10\), got \(1, 6, 10\); are batch and time swapped"
    ):
        rnn(torch.zeros(6, 2, 3), torch.zeros(1, 6, 10))
    packed = nn.utils.rnn.pack_sequence([torch.zeros(3, 3), torch.zeros(2, 3)])
    with pytest.raises(InputError, match="got a PackedSequence; pad the sequences"):
        rnn(packed)
    with pytest.raises(InputError, match=r"x must have shape \(batch, 3\), got \(3,\)"):
        EICell(3, 10)(torch.zeros(3))
    assert tide.nn.EIRNN is EIRNN
