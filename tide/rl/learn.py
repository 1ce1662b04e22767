"""Proximal policy optimisation as the task of a run: rollouts, updates, evaluations, resuming by replay of actions."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tide.config import VectorConfig
from tide.config.control import ControlConfig
from tide.data import derive_seed
from tide.errors import check
from tide.losses import ei_loss
from tide.models.cell import State
from tide.models.load import model_class
from tide.models.tide import TideCell
from tide.nn.dynamics import perron_estimate
from tide.rl.agent import Agent, copied
from tide.rl.environments import Environments, seeds_of
from tide.rl.evaluate import SELECTION, play
from tide.rl.ppo import advantages, policy_loss
from tide.train.run import Cadence, Evaluated, Task
from tide.train.step import gradient_norm, restore_optimizer

ENVIRONMENT, ACTIONS, SHUFFLE = range(3)  # independent random streams derived from the one seed


class Rollout(NamedTuple):
    """What a rollout brought, (S, B, ...) each, and the state that it began with."""

    seen: Tensor
    first: Tensor
    actions: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    begun: State


@dataclass(frozen=True)
class ActingSummary:
    """What a reporter shows of an update; ``step`` and ``rate`` count environment steps."""

    step: int
    rate: float
    readings: Mapping[str, Any]

    def text(self) -> str:
        """Return return, entropy, how far the policy moved, and the populations on one line."""
        line, mean = self.readings, self.readings["return"]
        parts = [
            f"return {mean:.1f}" if mean is not None else "return -",
            f"entropy {line['entropy']:.2f}",
            f"kl {line['kl']:.3f}",
            f"explained {line['explained']:.2f}",
        ]
        if line.get("ei_ratio") is not None:
            parts.append(f"E-I {line['ei_ratio']:.1f}")
            parts.append(f"{line['silent_e']} E silent")
        if line["rejected"]:
            parts.append(f"{line['rejected']} rejected")
        return " | ".join(parts)


class Acting(Task):
    """A model that learns to act in an environment."""

    score = "return"

    def __init__(self, config: ControlConfig) -> None:
        """Raises :class:`~tide.errors.InputError` where the environment is not installed or does not fit."""
        self.config, train = config, config.train
        self.device = torch.device("cpu")
        self.stride = train.stride
        self.cadence = Cadence(
            steps=train.iterations,
            log=train.log_every,
            monitor=10**9,  # the readings have what a monitor would
            evaluate=max(1, round(train.evaluate_every / train.stride)),
            checkpoint=train.checkpoint_every,
            max_rejections=train.max_rejections,
        )
        self.model = model_class(config.model)(config.model)
        self.agent = Agent(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=train.learning_rate, eps=train.epsilon)
        self.environments = Environments(config.task, train.environments, seeds_of(config.seed, ENVIRONMENT))
        self._check_shapes()
        self._seen = self.environments.reset()
        self._first = torch.ones(train.environments, dtype=torch.bool)
        self._state = self.agent.start(train.environments)
        self._actions_crc = 0
        self._line: dict[str, Any] = {}

    def _check_shapes(self) -> None:
        config, there = self.config, self.environments
        check(
            there.actions == config.output.classes,
            f"output.classes must be {there.actions}, the actions of {config.task.name}, got {config.output.classes}",
        )
        if isinstance(config.input, VectorConfig):
            size = there.shape[0] if len(there.shape) == 1 else 0
            check(
                config.input.size == size,
                f"input.size must be {size}, as many numbers as {config.task.name} shows, got {config.input.size}",
            )

    def step(self, number: int) -> bool:
        """A rollout and its update."""
        train = self.config.train
        for group in self.optimizer.param_groups:
            group["lr"] = train.learning_rate * (1 - number / train.iterations)
        self.model.train()
        rollout, line = self._rollout(number)
        updates = self._update(number, rollout)
        self._line = {
            "iteration": number + 1,
            **line,
            **{name: float(np.mean([update[name] for update in updates])) for name in updates[0]},
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        return bool(np.isfinite(self._line["loss"]))

    @torch.no_grad()
    def _rollout(self, number: int) -> tuple[Rollout, dict[str, Any]]:
        train, scale = self.config.train, self.config.task.reward_scale
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, ACTIONS, number))
        begun = copied(self._state)
        kept: dict[str, list[Tensor]] = {name: [] for name in ("seen", "first", "actions", "log_prob", "value")}
        rewards: list[Tensor] = []
        returns: list[float] = []
        lengths: list[int] = []
        silent, ratio = torch.ones(0), None
        for _ in range(train.rollout):
            names = ("rates_e",) if isinstance(self.model.cell, TideCell) else ()
            out = self.agent.follow(self._seen[None], self._first[None], self._state, record=names)
            log_p = out.logits[0].log_softmax(-1)
            action = torch.multinomial(log_p.exp(), 1, generator=generator)
            values = (self._seen, self._first, action.squeeze(1), log_p.gather(1, action).squeeze(1), out.value[0])
            for name, value in zip(kept, values, strict=True):
                kept[name].append(value)
            if names:
                fired = out.trace["rates_e"][0].amax((0, 1))
                silent, ratio = torch.maximum(silent, fired) if len(silent) else fired, out.ratio
            stepped = self.environments.step(action.squeeze(1))
            self._actions_crc = zlib.crc32(action.numpy().tobytes(), self._actions_crc)
            returns += stepped.returns
            lengths += stepped.lengths
            reward = scale * stepped.reward
            if bool(stepped.cut.any()):  # an episode that only ran out of time goes on in the value
                still = torch.zeros_like(stepped.cut)
                beyond = self.agent.follow(stepped.last[None], still[None], out.state)
                reward = reward + train.gamma * beyond.value[0] * stepped.cut
            rewards.append(reward)
            self._seen, self._first, self._state = stepped.seen, stepped.ended, out.state
        after = self.agent.follow(self._seen[None], self._first[None], self._state)
        seen, first, actions, log_prob, value = (torch.stack(values) for values in kept.values())
        found = advantages(
            torch.stack(rewards), value, first, after.value[0], self._first, gamma=train.gamma, gae=train.gae
        )
        target = found + value
        line: dict[str, Any] = {
            "episodes": len(returns),
            "return": float(np.mean(returns)) if returns else None,
            "length": float(np.mean(lengths)) if lengths else None,
            "explained": float(1 - found.var() / target.var()) if target.var() > 0 else 0.0,
        }
        if ratio is not None:
            line |= {"ei_ratio": float(ratio.mean()), "silent_e": int((silent == 0).sum())}
        return Rollout(seen, first, actions, log_prob, found, target, begun), line

    def _update(self, number: int, rollout: Rollout) -> list[dict[str, float]]:
        train, updates = self.config.train, []
        for epoch in range(train.epochs):
            generator = torch.Generator().manual_seed(derive_seed(self.config.seed, SHUFFLE, number, epoch))
            for index in torch.randperm(train.environments, generator=generator).chunk(train.minibatches):
                updates.append(self._minibatch(rollout, index))
        return updates

    def _minibatch(self, rollout: Rollout, index: Tensor) -> dict[str, float]:
        """One optimiser step on whole sequences of some environments; one that is not finite moves nothing."""
        train = self.config.train
        out = self.agent.follow(rollout.seen[:, index], rollout.first[:, index], rollout.begun.rows(index))
        loss = policy_loss(
            out.logits,
            out.value,
            rollout.actions[:, index],
            rollout.log_prob[:, index],
            rollout.advantage[:, index],
            rollout.returns[:, index],
            clip=train.clip,
            entropy=train.entropy,
            value=train.value,
        )
        total = loss.total
        if train.ei_weight > 0 and out.ratio is not None and isinstance(self.model.cell, TideCell):
            total = total + train.ei_weight * ei_loss(out.ratio, self.model.cell.config.ratio_target)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        parameters = list(self.model.parameters())
        norm = gradient_norm(parameters)
        if bool(total.isfinite() & norm.isfinite()):
            torch.nn.utils.clip_grad_norm_(parameters, train.norm)
            self.optimizer.step()
            self.model.project_()
        names = ("policy", "value", "entropy", "kl", "clipped")
        parts = {name: float(getattr(loss, name).detach()) for name in names}
        return {"loss": float(total.detach()), **parts, "gradient_norm": float(norm)}

    def loss(self) -> float:
        """The mean total over the minibatches of the last update."""
        return float(self._line["loss"])

    def readings(self, rejected: int) -> dict[str, Any]:
        """Returns of the episodes that ended, parts of the loss, the policy's movement, the populations."""
        line = {**self._line, "rejected": rejected, "actions_crc": self._actions_crc}
        blocks = self.model.cell.blocks()
        if blocks is not None:
            with torch.no_grad():
                line |= {"perron_ee": float(perron_estimate(blocks.ee)), "perron_ii": float(perron_estimate(blocks.ii))}
        return line

    def summary(self, step: int, rate: float, rejected: int) -> Any:
        """The same in short."""
        return ActingSummary(step, rate, self.readings(rejected))

    def evaluate(self, progress: Callable[[int, int], None]) -> Evaluated:
        """Act in fixed episodes, as trained and by the likeliest action."""
        episodes = self.config.train.episodes
        sampled, greedy = (
            play(self.agent, self.config, SELECTION, episodes, greedy=greedy, progress=progress)
            for greedy in (False, True)
        )
        limit = self.config.task.limit or self.environments.task.limit
        mean, likeliest = float(sampled.returns.mean()), float(greedy.returns.mean())
        readings = {
            "episodes": episodes,
            "return_sampled": mean,
            "return_greedy": likeliest,
            "length": float(sampled.lengths.mean()),
            "at_limit": float((sampled.lengths >= limit).mean()),
            "low": float(np.quantile(sampled.returns, 0.1)),
            "high": float(np.quantile(sampled.returns, 0.9)),
        }
        return Evaluated(mean, readings, f"return {mean:.1f} (greedy {likeliest:.1f}) over {episodes} fixed episodes")

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, episodes under way with their actions, what is seen, and where every thought stands."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "environments": self.environments.state_dict(),
            "seen": self._seen,
            "first": self._first,
            "thought": pytree.tree_leaves(self._state),
            "actions_crc": self._actions_crc,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; raises CheckpointError where an environment does not come back."""
        restore_optimizer(self.optimizer, state["optimizer"])
        self._seen, self._first = state["seen"], state["first"]
        self.environments.load_state_dict(state["environments"], self._seen)
        _, structure = pytree.tree_flatten(self._state)
        self._state = pytree.tree_unflatten(state["thought"], structure)
        self._actions_crc = int(state["actions_crc"])

    def results(self) -> dict[str, Any]:
        """In which environment it acts."""
        return {"environment": self.config.task.name}

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()
