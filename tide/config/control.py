"""Settings of an experiment in which a model acts: the environment, and proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from tide.config import base
from tide.config.base import Bound, Count, NotNegative, Positive, Section, Share, Whole, declare
from tide.config.model import ModelConfig
from tide.errors import check, did_you_mean, short_repr


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig(Section):
    """The environment, and what of it the model is shown."""

    section: ClassVar = "task"

    name: str = "cartpole"
    """Name of the environment: cartpole, acrobot, four_rooms, or one that was registered."""
    seen: tuple[Whole, ...] = ()
    """Components of an observation that are shown, all others are zero; empty: those of the environment's own task."""
    limit: Whole = 0
    """Steps after which an episode is cut; 0: as many as the environment's own task has."""
    reward_scale: Positive = 1.0
    """Factor on rewards in training; what is reported is the true return."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = base.names("environment")
        hint = did_you_mean(str(self.name), known)
        check(self.name in known, f"task.name must be one of {', '.join(known)}, got {short_repr(self.name)}{hint}")


@dataclass(frozen=True, kw_only=True)
class PPOConfig(Section):
    """Proximal policy optimisation on whole sequences (arXiv:1707.06347)."""

    section: ClassVar = "train"

    steps: Count = 150_000
    """Environment steps of all environments together."""
    environments: Count = 64
    """Environments side by side."""
    rollout: Count = 32
    """Steps of each environment between two updates."""
    epochs: Count = 4
    """Passes over a rollout."""
    minibatches: Count = 2
    """Parts that the environments of a rollout are shared out to; a part holds whole sequences."""
    learning_rate: Positive = 2e-3
    """Rate of Adam at the beginning; it falls linearly to zero."""
    gamma: Share = 0.99
    """Discount γ of a reward per step."""
    gae: Share = 0.95
    """Decay λ of the generalised advantages."""
    clip: Positive = 0.1
    """How far the ratio of probabilities counts from one."""
    entropy: NotNegative = 0.01
    """Weight of the policy's entropy."""
    value: NotNegative = 0.25
    """Weight of the critic's loss."""
    norm: Positive = 0.5
    """Greatest global norm of the gradient."""
    epsilon: Positive = 1e-5
    """Added to Adam's denominator."""
    ei_weight: NotNegative = 0.0
    """Weight of the E-I balance, of a model with two populations."""
    evaluate_every: Count = 15_000
    """Environment steps between evaluations; the last step is always evaluated."""
    episodes: Annotated[int, Bound(1, 10_000)] = 100
    """Episodes of an evaluation, the same for every run and model."""
    checkpoint_every: Count = 10
    """Updates between checkpoints."""
    log_every: Count = 1
    """Updates between lines of metrics."""
    max_rejections: Count = 20
    """Rejected updates in a row that end the run."""

    @property
    def stride(self) -> int:
        """Environment steps of a rollout."""
        return self.environments * self.rollout

    @property
    def iterations(self) -> int:
        """Rollouts of the run, each with its update."""
        return self.steps // self.stride

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.environments % self.minibatches == 0,
            f"train.minibatches must divide train.environments = {self.environments}, got {self.minibatches}; a "
            "minibatch is whole environments",
        )
        check(
            self.iterations >= 1,
            f"train.steps must be at least one rollout of {self.environments} x {self.rollout} = {self.stride}, got "
            f"{self.steps}",
        )


@dataclass(frozen=True, kw_only=True)
class ControlConfig(ModelConfig):
    """A whole experiment of a model that acts: model, environment, training."""

    task: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    train: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.output.critic > 0, f"output.critic must be at least 1 for a model that acts, got {self.output.critic}"
        )
        check(
            self.train.ei_weight == 0 or self.core.populations,
            f"train.ei_weight must be 0 with core {self.core.kind}, got {self.train.ei_weight}; it has no two "
            "populations",
        )

    @property
    def model(self) -> ModelConfig:
        """The part that determines the model."""
        return ModelConfig(seed=self.seed, input=self.input, output=self.output, backbone=self.backbone, core=self.core)


declare("environment", dict.fromkeys(("cartpole", "acrobot", "four_rooms"), "tide.rl.environments"))
