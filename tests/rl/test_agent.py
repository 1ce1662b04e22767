"""Agents: golden traces of the reference's reinforcement learning, state over episodes, advantages, the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tide
from tests.models.test_golden import distance, loaded, part, read
from tide.models.thinker import Thinker
from tide.nn.synchrony import WindowSynchrony
from tide.rl.agent import Agent
from tide.rl.ppo import advantages, policy_loss


@pytest.mark.parametrize("name", ["ctm_rl_cartpole", "lstm_rl_cartpole"])
def test_acting_is_that_of_the_reference(name: str) -> None:
    golden = read(name)
    expected, model = part(golden, "out"), loaded(golden)
    seen, first, actions = (torch.from_numpy(golden[key]) for key in ("input", "done", "actions"))
    first, agent = first.bool(), Agent(model)
    ctm = name.startswith("ctm")
    record = ("pre_activations", "post_activations") if ctm else ("post_activations",)
    with torch.no_grad():
        out = agent.follow(seen, first, model.cell.initial(3), record=record)
        next_first = torch.from_numpy(golden["next_done"]).bool()
        following = agent.follow(seen[-1:], next_first[None], out.state)
    log_p = out.logits.log_softmax(-1)
    found = {
        "logits": out.logits,
        "values": out.value,
        "log_prob": log_p.gather(-1, actions[..., None]).squeeze(-1),
        "entropy": -(log_p.exp() * log_p).sum(-1),
        "next_value": following.value[0],
        **out.trace,
    }
    rewards = torch.from_numpy(golden["rewards"])
    found["advantages"] = advantages(rewards, out.value, first, following.value[0], next_first)
    found["returns"] = found["advantages"] + out.value
    state: Any = out.state
    if ctm:
        found["state_0"] = state.history.transpose(0, 1)
        expected["state_1"] = expected["state_1"][:, -5:]
        found["state_1"] = state.window.transpose(0, 1)
    else:
        found["state_0"], found["state_1"] = state.hidden[0], state.memory[0]
    for key, value in found.items():
        assert distance(value, expected[key]) < 1e-5, key

    out = agent.follow(seen, first, model.cell.initial(3).detach())
    old = torch.from_numpy(golden["old_log_prob"]).reshape(actions.shape)
    advantage = torch.from_numpy(expected["advantages"])
    loss = policy_loss(out.logits, out.value, actions, old, advantage, torch.from_numpy(expected["returns"]))
    named = {"loss": loss.total, "pg_loss": loss.policy, "v_loss": loss.value, "entropy_loss": loss.entropy}
    for key, value in named.items():
        assert value.item() == pytest.approx(float(expected[key]), rel=1e-5, abs=1e-7), key
    loss.total.backward()
    gradients, slopes = part(golden, "grad"), model.reference_gradients()
    assert set(gradients) <= set(slopes)
    assert len(gradients) >= 26
    for parameter, values in gradients.items():
        assert distance(slopes[parameter], values) < 1e-4, parameter


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 6), length=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_synchrony_over_a_window_is_the_double_sum(rows: int, length: int, seed: int) -> None:
    torch.manual_seed(seed)
    module = WindowSynchrony(rows, length).double()
    torch.nn.init.uniform_(module.decay, 0, 4)
    window = torch.randn(rows, 2, length, dtype=torch.float64)
    found, pair = module(window), 0
    for i in range(rows):
        for j in range(i, rows):
            weights = [np.exp(-float(module.decay[pair]) * (length - 1 - m)) for m in range(length)]
            total = sum(w * window[i, :, m] * window[j, :, m] for m, w in enumerate(weights))
            torch.testing.assert_close(found[:, pair], total / np.sqrt(sum(weights)), rtol=1e-10, atol=1e-12)
            pair += 1


def test_decays_of_a_window_are_brought_into_their_interval() -> None:
    module = WindowSynchrony(2, 3)
    with torch.no_grad():
        module.decay.copy_(torch.tensor([-1.0, 5.0, 2.0]))
    tide.nn.project_(module)
    assert module.decay.tolist() == [0, 4, 2]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8))
def test_an_advantage_is_the_sum_over_later_steps_of_its_episode(seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, steps, 3, generator=generator, dtype=torch.float64)
    first = torch.rand(steps, 3, generator=generator) < 0.3
    next_value, next_first = torch.randn(3, generator=generator, dtype=torch.float64), torch.tensor([True, False, True])
    found = advantages(rewards, values, first, next_value, next_first, gamma=0.9, gae=0.8)
    later, ends = torch.cat((values, next_value[None])), torch.cat((first, next_first[None]))
    for b in range(3):
        for t in range(steps):
            total, weight = 0.0, 1.0
            for k in range(t, steps):
                goes_on = not bool(ends[k + 1, b])
                total += weight * float(rewards[k, b] + 0.9 * later[k + 1, b] * goes_on - values[k, b])
                weight *= 0.9 * 0.8
                if not goes_on:
                    break
            assert found[t, b].item() == pytest.approx(total, abs=1e-12)


def agent_of(model: str, **core: Any) -> Thinker:
    settings_ = {"neurons": 40, "ticks": 2} | core
    return tide.create(f"{model}cartpole.small", core=settings_)


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tide": ("", {}),
    "memory": ("", {"memory": {"enabled": True, "width": 8}}),
    "ctm": ("ctm.", {}),
    "lstm": ("lstm.", {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_episodes_do_not_leak_into_each_other_nor_neighbours(name: str) -> None:
    model = agent_of(MODELS[name][0], **MODELS[name][1])
    agent, generator = Agent(model), torch.Generator().manual_seed(0)
    seen = torch.randn(7, 3, 4, generator=generator)
    first = torch.zeros(7, 3, dtype=torch.bool)
    first[0] = first[3, 1] = first[5, 2] = True
    with torch.no_grad():
        together = agent.follow(seen, first, agent.start(3))
        for b, begin, end in ((0, 0, 7), (1, 0, 3), (1, 3, 7), (2, 0, 5), (2, 5, 7)):
            alone = agent.follow(seen[begin:end, b : b + 1], first[begin:end, b : b + 1], agent.start(1))
            torch.testing.assert_close(together.logits[begin:end, b], alone.logits[:, 0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.value[begin:end, b], alone.value[:, 0], rtol=1e-4, atol=1e-5)
        one, two = agent.follow(seen[:4], first[:4], agent.start(3)), None
        two = agent.follow(seen[4:], first[4:], one.state)
        torch.testing.assert_close(torch.cat((one.logits, two.logits)), together.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["tide", "ctm", "lstm"])  # what a memory carries has no gradient
def test_a_pass_from_an_old_state_uses_the_new_weights_and_trains_the_start(name: str) -> None:
    model = agent_of(MODELS[name][0], **MODELS[name][1]).double()
    agent = Agent(model)
    seen, first = torch.randn(3, 2, 4, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.bool)
    first[1, 0] = True
    state = agent.start(2)

    def total() -> torch.Tensor:
        out = agent.follow(seen, first, state)
        return out.logits.square().sum() + out.value.square().sum()

    starts = [p for n, p in model.cell.named_parameters() if "start" in n]
    inputs = ("input.weight", "weight_ih_l0", "synapses.0.layers.1.weight")
    weight = next(p for n, p in model.cell.named_parameters() if n.endswith(inputs))
    slopes = torch.autograd.grad(total(), [weight, *starts], allow_unused=True)
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes[1:])
    with torch.no_grad():
        before = total()
        weight[0, 0] += 1e-6
        change = (total() - before) / 1e-6
    assert change.item() == pytest.approx(slopes[0][0, 0].item(), rel=1e-3, abs=1e-6)


def test_a_delayed_bandit_is_solved() -> None:
    """A cue at the first of five steps names the arm that pays at the last."""
    for name, most in (("", 25), ("ctm.", 25), ("lstm.", 25)):
        model = tide.create(
            f"{name}cartpole.small", input={"size": 3}, core={"neurons": 40, "ticks": 1}, output={"critic_norm": True}
        )
        agent, generator = Agent(model), torch.Generator().manual_seed(1)
        optimizer, solved = torch.optim.Adam(model.parameters(), lr=5e-3, eps=1e-5), False
        first = torch.zeros(5, 64, dtype=torch.bool)
        first[0] = True
        for _ in range(most):
            cue = torch.randint(2, (64,), generator=generator)
            seen = torch.zeros(5, 64, 3)
            seen[0, torch.arange(64), cue] = 1
            seen[-1, :, 2] = 1
            with torch.no_grad():
                out = agent.follow(seen, first, agent.start(64))
                log_p = out.logits.log_softmax(-1)
                actions = torch.multinomial(log_p.exp().flatten(0, 1), 1, generator=generator).reshape(5, 64)
                old = log_p.gather(-1, actions[..., None]).squeeze(-1)
                rewards = torch.zeros(5, 64)
                rewards[-1] = (actions[-1] == cue).float()
                advantage = advantages(rewards, out.value, first, torch.zeros(64), torch.ones(64, dtype=torch.bool))
                returns = advantage + out.value
            solved = bool(rewards[-1].mean() > 0.97)
            if solved:
                break
            for _ in range(4):
                out = agent.follow(seen, first, agent.start(64))
                loss = policy_loss(
                    out.logits, out.value, actions, old, advantage, returns, clip=0.2, entropy=0.01, value=0.25
                )
                optimizer.zero_grad()
                loss.total.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                tide.nn.project_(model)
        assert solved, name
