"""What a model returns, and the letters used for shapes everywhere.

B batch, C classes, T internal ticks, D neurons, n_E and n_I neurons per population, N token positions, P pairs,
M history length, d_z latent width, d_m memory width; *S the positions of an answer, none for a single class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # settings read the names below, and `tide --help` must not wait for torch
    from torch import Tensor

Activation = Literal["relu", "softplus"]
RateNorm = Literal["rms", "rms_cap", "layer", "rms_shared", "none"]
Start = Literal["weak", "balanced"]
RatioNormalization = Literal["sum", "per_neuron"]
Guarantee = Literal["none", "contraction", "lds"]
MemoryScope = Literal["sample", "batch"]


class GamePenalty(NamedTuple):
    """Multipliers λ_E, λ_I and penalty μ of the augmented Lagrangian for the game."""

    multiplier_e: float
    multiplier_i: float
    penalty: float


class Recall(NamedTuple):
    """What the memory did: surprise, gate, reconstruction error (B, T), and its final state (B, d_m)."""

    surprise: Tensor
    gate: Tensor
    reconstruction: Tensor
    memory: Tensor
    velocity: Tensor


class Dynamics(NamedTuple):
    """What the auxiliary losses, the memory and the stability monitor need of the excitatory-inhibitory dynamics.

    ``rates``, ``activation`` (φ(h)) and ``drive`` (U o + b) are those of the last tick, before the lateral
    inhibition, (B, D) each, excitatory neurons first. ``sync_power`` is the mean of s² over pairs, (B, T), like
    ``lateral_iterations``. ``recall`` is None for a model without memory; ``ratio_target`` is
    the target r* of the E-I ratio.
    """

    rates: Tensor
    activation: Tensor
    drive: Tensor
    sync_power: Tensor
    lateral_iterations: Tensor
    recall: Recall | None
    ratio_target: float


@dataclass(frozen=True)
class ThoughtOutput:
    """What ``model(images)`` returns, whatever was asked to be recorded.

    ``logits`` (B, C, *S, T) and ``certainty`` (B, T) at every tick, of which those from ``answers_from`` on count
    as answers (all, unless the input is shown little by little: :meth:`answers`); ``ei_ratio`` (B, T), the
    excitatory-inhibitory activity ratio, and ``dynamics``, what losses and monitors read: both None for a model
    without two populations (CTM, LSTM); ``trace``, the recorded quantities by name, each (B, T, ...); ``state``, where
    the thought ended: ``model(x, state=out.state)`` thinks on, and ``.detach()``, ``.rows(index)``,
    ``.where(done, other)`` and ``.expand(count)`` change it.
    """

    logits: Tensor
    certainty: Tensor
    ei_ratio: Tensor | None = None
    dynamics: Dynamics | None = None
    trace: Mapping[str, Tensor] = field(default_factory=dict)
    answers_from: int = 0
    state: Any = None

    def answers(self) -> tuple[Tensor, Tensor]:
        """Return logits and certainty of the ticks that count as answers."""
        if self.answers_from == 0:
            return self.logits, self.certainty
        return self.logits[..., self.answers_from :], self.certainty[:, self.answers_from :]


class Traced(NamedTuple):
    """What ``torch.jit.trace(model, images)`` makes of a model returns: of :class:`ThoughtOutput`, the first two."""

    logits: Tensor
    certainty: Tensor


@dataclass(frozen=True)
class Prediction:
    """What ``model.predict(images)`` returns.

    ``label`` (B, *S), the class at the most certain tick that was run; ``certainty`` (B,) there; ``ticks`` (B,), how
    many ticks each image was given; ``probabilities`` (B, C, *S). Of a list that is emitted symbol by symbol ``label``
    is (B, N), what was emitted, -1 where nothing was, and ``probabilities`` is None. ``state`` is where the thought
    ended, None with ``halt``, with which samples end at different ticks.
    """

    label: Tensor
    certainty: Tensor
    ticks: Tensor
    probabilities: Tensor | None
    state: Any = None
