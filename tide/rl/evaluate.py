"""How well a model acts: returns of fixed episodes, and what its state knows of what it is not shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.config.control import ControlConfig
from tide.data import derive_seed
from tide.evaluate.answers import evaluating
from tide.evaluate.thinking import handed_on
from tide.rl.agent import Agent
from tide.rl.environments import Environments, Stepped, seeds_of

SELECTION, FINAL, DECODING = 2_000_081, 2_000_083, 2_000_089
"""Streams of episodes: to choose the best checkpoint by, to report, and to fit a read-out on."""
Array = npt.NDArray[np.float64]


class Returns(NamedTuple):
    """True returns and lengths of the first episode of each environment, (n,) each."""

    returns: Array
    lengths: Array


def play(
    agent: Agent,
    config: ControlConfig,
    stream: int,
    episodes: int,
    *,
    greedy: bool,
    watch: Callable[[Environments, Tensor, Any], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    record: tuple[str, ...] = (),
    **options: Any,
) -> Returns:
    """Let a model act in an episode of each of so many environments, side by side.

    The episodes are those of a stream, the same for every model and run; so are the random numbers that actions are
    drawn by, where they are not ``greedy``. ``watch`` sees the environments before every step, what they show and what
    the model made of it; ``progress(done, total)`` may raise to stop.
    """
    environments = Environments(config.task, episodes, seeds_of(stream), **options)
    draws = [torch.Generator().manual_seed(derive_seed(stream, episode, 1)) for episode in range(episodes)]
    returns, lengths = np.zeros(episodes), np.zeros(episodes)
    with evaluating(agent.model):
        seen, state = environments.reset(), agent.start(episodes)
        first, alive = torch.ones(episodes, dtype=torch.bool), np.ones(episodes, dtype=bool)
        while alive.any():
            out = agent.follow(seen[None], first[None], state, record=record)
            state, likely = out.state, out.logits[0].softmax(-1)
            if watch is not None:
                watch(environments, seen, out)
            numbers = torch.cat([torch.rand(1, generator=draw) for draw in draws])
            drawn = (likely.cumsum(-1) < numbers[:, None]).sum(-1).clamp(max=likely.shape[-1] - 1)
            stepped: Stepped = environments.step(likely.argmax(-1) if greedy else drawn)
            returns += stepped.reward.double().numpy() * alive
            lengths += alive
            alive &= ~stepped.ended.numpy()
            seen, first = stepped.seen, stepped.ended
            if progress is not None:
                progress(int((~alive).sum()), episodes)
    environments.close()
    return Returns(returns, lengths)


@dataclass(frozen=True)
class Known:
    """R² of a linear read-out of each hidden quantity, on episodes that it was not fitted on.

    From the observation alone, from the neurons' activity, and from what the heads read.
    """

    observation: Mapping[str, float]
    activity: Mapping[str, float]
    read: Mapping[str, float]


class Readout(NamedTuple):
    """A linear read-out: weights (features + 1, quantities), the last row a constant."""

    weights: Array

    def __call__(self, features: Array) -> Array:
        """Return what it reads, (n, quantities), of features (n, features)."""
        found: Array = _with_constant(features) @ self.weights
        return found


def known(agent: Agent, config: ControlConfig, *, episodes: int = 16, ridge: float = 1e-3) -> Known:
    """Fit a linear read-out of what is hidden on so many episodes and try it on as many others."""
    fitted, tried = (_lived(agent, config, DECODING + number, episodes) for number in range(2))
    names = list(fitted["hidden"])
    truth, wanted = (np.stack([part["hidden"][name] for name in names], 1) for part in (fitted, tried))
    scores = {}
    for source in ("observation", "activity", "read"):
        errors = fit(fitted[source], truth, ridge)(tried[source]) - wanted
        shares = 1 - (errors**2).mean(0) / wanted.var(0)
        scores[source] = dict(zip(names, shares.tolist(), strict=True))
    return Known(**scores)


def fit(features: Array, truth: Array, ridge: float = 1e-3) -> Readout:
    """Fit a read-out by ridge regression, features in units of their deviation."""
    deviation = features.std(0) + 1e-9
    scaled = _with_constant(features / deviation)
    penalty = ridge * len(scaled) * np.diag([*np.ones(features.shape[1]), 0.0])
    weights = np.asarray(np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ truth), dtype=np.float64)
    weights[:-1] /= deviation[:, None]
    return Readout(weights)


def _lived(agent: Agent, config: ControlConfig, stream: int, episodes: int) -> dict[str, Any]:
    """Return what was seen, done by the neurons and hidden, over all steps of some episodes, one behind the other."""
    names = (*handed_on(agent.model.cell), *agent.model.cell.reads)
    steps: list[dict[str, Any]] = []

    def watch(environments: Environments, seen: Tensor, out: Any) -> None:
        began = environments.episode == 0
        last = {name: out.trace[name][0, -1].double().numpy()[began] for name in dict.fromkeys(names)}
        hidden = {name: np.array(values)[began] for name, values in environments.hidden().items()}
        steps.append({"seen": seen.double().numpy()[began], "last": last, "hidden": hidden})

    play(agent, config, stream, episodes, greedy=False, watch=watch, record=tuple(dict.fromkeys(names)))

    def joined(parts: tuple[str, ...]) -> Array:
        return np.concatenate([np.concatenate([step["last"][name] for name in parts], 1) for step in steps])

    return {
        "observation": np.concatenate([step["seen"].reshape(len(step["seen"]), -1) for step in steps]),
        "activity": joined(handed_on(agent.model.cell)),
        "read": joined(agent.model.cell.reads),
        "hidden": {name: np.concatenate([step["hidden"][name] for step in steps]) for name in steps[0]["hidden"]},
    }


def _with_constant(features: Array) -> Array:
    return np.concatenate((features, np.ones((len(features), 1))), 1)
