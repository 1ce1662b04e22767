"""Environments whose every episode follows from a seed and the actions alone; the tasks that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.config import register
from tide.config.base import builder
from tide.config.control import EnvironmentConfig
from tide.data import derive_seed
from tide.errors import CheckpointError, ConfigError, InputError, TrainingError, check, one_line

Flags = npt.NDArray[np.bool_]
MINIGRID = "MiniGrid"


@dataclass(frozen=True, kw_only=True)
class EnvironmentTask:
    """What an environment is used for.

    ``place`` is its id at gymnasium; ``seen`` the components that are shown, None for a view of MiniGrid; ``limit`` the
    steps of an episode; ``options`` go to the environment; ``hidden`` is what a read-out may be asked about, from the
    environment itself, by name.
    """

    place: str
    seen: tuple[int, ...] | None
    limit: int
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Callable[[Any], float]] = field(default_factory=dict)


def _of_state(component: int) -> Callable[[Any], float]:
    return lambda environment: float(environment.state[component])


@register("environment", "cartpole")
def _cartpole() -> EnvironmentTask:
    """A pole on a cart, whose velocities are not shown."""
    hidden = {"cart velocity": _of_state(1), "pole velocity": _of_state(3)}
    return EnvironmentTask(place="CartPole-v1", seen=(0, 2), limit=200, hidden=hidden)


@register("environment", "acrobot")
def _acrobot() -> EnvironmentTask:
    """Two links that are to swing up, whose velocities are not shown."""
    hidden = {"first velocity": _of_state(2), "second velocity": _of_state(3)}
    return EnvironmentTask(place="Acrobot-v1", seen=(0, 1, 2, 3), limit=500, hidden=hidden)


@register("environment", "four_rooms")
def _four_rooms() -> EnvironmentTask:
    """A goal in one of four rooms, seen 7 x 7 places at a time."""
    return EnvironmentTask(place="MiniGrid-FourRooms-v0", seen=None, limit=300)


def environment_task(name: str) -> EnvironmentTask:
    """Return the task of a name; raises :class:`ConfigError` for an unknown one."""
    task: EnvironmentTask = builder("environment", name)()
    return task


class Stepped(NamedTuple):
    """What a step of every environment brought.

    ``seen`` (B, ...) next, after a reset where the episode ended; ``reward`` (B,); ``ended`` (B,) bool; ``cut`` (B,)
    bool: it ended by the limit alone; ``last`` (B, ...): what was seen before any reset; ``returns`` and ``lengths`` of
    the episodes that ended.
    """

    seen: Tensor
    reward: Tensor
    ended: Tensor
    cut: Tensor
    last: Tensor
    returns: list[float]
    lengths: list[int]


class Environments:
    """B environments side by side. Episode e of environment i begins with a seed of its own, (seed, i, e).

    Nothing of an environment is saved: episodes that are under way are played again from their actions.
    """

    def __init__(self, config: EnvironmentConfig, count: int, seeds: Callable[[int, int], int], **options: Any) -> None:
        """``seeds`` gives the seed of an environment's episode; ``options`` go to the environments.

        Raises:
            InputError: gymnasium or the environment is not installed.
            ConfigError: components that are not there, continuous actions, or other observations than numbers.
        """
        gym = installed()
        from gymnasium.vector import AutoresetMode, SyncVectorEnv

        self.config, self.task = config, environment_task(config.name)
        task, limit = self.task, config.limit or self.task.limit
        options = {**task.options, **({"max_steps": limit} if MINIGRID in task.place else {}), **options}
        if MINIGRID in task.place:
            _minigrid()

        def make() -> Any:
            return gym.make(task.place, max_episode_steps=limit, disable_env_checker=True, **options)

        self._vector: Any = SyncVectorEnv([make] * count, autoreset_mode=AutoresetMode.DISABLED)
        self.count, self._seeds = count, seeds
        space: Any
        space, actions = self._vector.single_observation_space, self._vector.single_action_space
        if not isinstance(actions, gym.spaces.Discrete):
            raise ConfigError(f"task.name must be an environment of discrete actions, got {config.name} with {actions}")
        self._view = isinstance(space, gym.spaces.Dict) and "image" in space.spaces
        boxes = space["image"] if self._view else space
        if not isinstance(boxes, gym.spaces.Box) or (task.seen is not None and len(boxes.shape) != 1):
            raise ConfigError(f"task.name must be an environment of numbers or views, got {config.name} with {space}")
        self.shape, self.actions = tuple(boxes.shape), int(actions.n)
        self._mask = self._shown(config.seen or task.seen)
        self.episode = np.zeros(count, dtype=np.int64)
        self.played: list[list[int]] = [[] for _ in range(count)]
        self._returns = np.zeros(count)

    def _shown(self, seen: Sequence[int] | None) -> npt.NDArray[np.float32] | None:
        if seen is None:
            return None
        there = self.shape[0]
        outside = [component for component in seen if component >= there]
        check(not outside, f"task.seen must name components 0 to {there - 1}, got {outside[:1]}")
        mask = np.zeros(self.shape, dtype=np.float32)
        mask[list(seen)] = 1
        return mask

    def reset(self) -> Tensor:
        """Begin the present episode of every environment; return what is seen (B, ...)."""
        return self._seen(self._vector.reset(seed=self._now())[0])

    def step(self, actions: Tensor) -> Stepped:
        """Take an action (B,) in every environment; where an episode ends, the next one begins.

        Raises:
            TrainingError: an environment fails, or what it shows is not finite.
        """
        chosen = actions.cpu().numpy()
        for played, action in zip(self.played, chosen.tolist(), strict=True):
            played.append(int(action))
        try:
            observations, rewards, terminated, truncated, _ = self._vector.step(chosen)
        except Exception as error:  # whatever somebody's environment raises
            raise TrainingError(
                f"an environment of {self.config.name} failed ({type(error).__name__}: {one_line(error)[:120]}) in "
                f"episodes {self.episode.tolist()[:4]}; mend it, the last checkpoint is intact"
            ) from error
        last, ended = self._seen(observations), terminated | truncated
        self._returns += rewards
        returns, lengths = self._returns[ended].tolist(), [len(self.played[i]) for i in np.flatnonzero(ended)]
        seen = last
        if ended.any():
            self.episode[ended] += 1
            self._returns[ended] = 0
            for i in np.flatnonzero(ended):
                self.played[i] = []
            seen = self._seen(self._vector.reset(seed=self._now(), options={"reset_mask": ended})[0])
        reward, ends, cut = (torch.from_numpy(one.copy()) for one in (rewards, ended, truncated & ~terminated))
        return Stepped(seen, reward.float(), ends, cut, last, returns, lengths)

    def hidden(self) -> dict[str, list[float]]:
        """Return what is not shown, by name, of every environment."""
        return {name: [read(one.unwrapped) for one in self._vector.envs] for name, read in self.task.hidden.items()}

    def pictures(self) -> list[npt.NDArray[np.uint8]]:
        """Return what each environment looks like; they must have been made with ``render_mode="rgb_array"``."""
        return [one.render() for one in self._vector.envs]

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes that are under way: their numbers, and the actions since they began."""
        return {"episode": self.episode.tolist(), "played": [list(actions) for actions in self.played]}

    def load_state_dict(self, state: Mapping[str, Any], seen: Tensor) -> None:
        """Play the episodes of :meth:`state_dict` again; :class:`CheckpointError` unless that ends at ``seen``."""
        self.episode = np.array(state["episode"], dtype=np.int64)
        self._vector.reset(seed=self._now())
        observations = []
        for i, (one, played) in enumerate(zip(self._vector.envs, state["played"], strict=True)):
            shown, _ = one.reset(seed=self._now()[i])
            self._returns[i] = 0
            for action in played:
                shown, reward, *_ = one.step(action)
                self._returns[i] += reward
            observations.append(shown["image"] if self._view else shown)
            self.played[i] = list(played)
        found = self._masked(np.stack(observations))
        for i in range(self.count):
            if not torch.equal(found[i], seen[i]):
                raise CheckpointError(
                    f"environment {i} must come back to where it was, {self.task.place} of gymnasium "
                    f"{installed().__version__} does not; install the version that the run was made with"
                )

    def close(self) -> None:
        """Close all environments."""
        self._vector.close()

    def _now(self) -> list[int]:
        return [self._seeds(i, int(episode)) for i, episode in enumerate(self.episode)]

    def _seen(self, observations: Any) -> Tensor:
        seen = self._masked(observations["image"] if self._view else observations)
        if not bool(seen.isfinite().all()):
            at = int((~seen.isfinite()).flatten(1).any(1).nonzero()[0])
            raise TrainingError(
                f"observations must be finite, environment {at} gave others in its episode {self.episode[at]} after "
                f"{len(self.played[at])} actions; mend the environment"
            )
        return seen

    def _masked(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.as_tensor(values if self._mask is None else values * self._mask).float()


def seeds_of(*streams: int) -> Callable[[int, int], int]:
    """Return the seed of each environment's episode in a stream of its own."""
    return lambda environment, episode: derive_seed(*streams, environment, episode) % 2**31


def installed() -> Any:
    """Return gymnasium; raises :class:`InputError` where it is not installed."""
    try:
        import gymnasium
    except ImportError as error:
        raise InputError(
            "gymnasium must be installed to act in an environment; pip install 'tide-dynamics[rl]'"
        ) from error
    return gymnasium


def _minigrid() -> None:
    try:
        import minigrid  # noqa: F401  it registers its environments
    except ImportError as error:
        raise InputError("minigrid must be installed for four_rooms; pip install 'tide-dynamics[rl]'") from error
