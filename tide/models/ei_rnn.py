"""The cell of a plain excitatory-inhibitory layer: an Euler step at each tick, read from its excitatory neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from tide.config import EIConfig, register
from tide.models.cell import Cell, Context, Observable, Readout, State
from tide.nn import EICell


class EIContext(Context):
    """The drive (B, n) of all ticks."""

    drive: Tensor


class EIState(State):
    """The state of the neurons, (B, D): rates, or currents."""

    neurons: Tensor


class EIFeatures(NamedTuple):
    """Rates after a tick, (B, D), and how many are excitatory."""

    rates: Tensor
    n_e: int


OBSERVABLES: Mapping[str, Observable] = {
    "rates_e": Observable(lambda f: f.rates[:, : f.n_e], "readout"),
    "rates_i": Observable(lambda f: f.rates[:, f.n_e :]),
}
"""What can be recorded of a tick."""


@register("core", EIConfig)
class EIRNNCell(Cell):
    """One Euler step of :class:`tide.nn.EICell` per tick; logits are a linear map of the excitatory rates."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"dynamics": ("layer",), "head": ("head",)}
    activity: ClassVar[Mapping[str, str]] = {"excitatory rates": "rates_e", "inhibitory rates": "rates_i"}

    def __init__(self, core: EIConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` numbers drive the neurons; ``outputs`` is how many logits a tick has."""
        super().__init__()
        self.config = core
        self.layer = EICell(
            features,
            core.neurons,
            e_fraction=core.excitatory_fraction,
            dt=core.dt,
            tau_e=core.tau_e,
            tau_i=core.tau_i,
            dynamics=core.dynamics,
            noise=core.noise,
            dale=core.dale,
            balanced=core.balanced,
            activation=core.activation,
            guarantee=core.guarantee,
        )
        self.head = nn.Linear(self.layer.e_size, outputs)

    @property
    def observables(self) -> Mapping[str, Observable]:
        """All of :data:`OBSERVABLES`."""
        return OBSERVABLES

    def context(self, x: Tensor) -> EIContext:
        """Attach the drive."""
        return EIContext(drive=x)

    def set_input(self, context: EIContext, x: Tensor | None) -> EIContext:
        """Attach another drive, or none."""
        return EIContext(drive=context.drive.new_zeros(context.drive.shape) if x is None else x)

    def initial(self, batch: int) -> EIState:
        """Neurons are silent at the start."""
        return EIState(neurons=self.layer.weight_hh.new_zeros(batch, self.config.neurons))

    def step(self, context: EIContext, state: EIState) -> tuple[EIState, EIFeatures]:
        """Advance by one Euler step."""
        rates, neurons = self.layer(context.drive, state.neurons)
        return EIState(neurons=neurons), EIFeatures(rates, self.layer.e_size)

    @property
    def reads(self) -> tuple[str, ...]:
        """The head reads the excitatory rates."""
        return ("rates_e",)

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        """Logits of the excitatory rates, over all given ticks at once."""
        return Readout(self.head(observed["rates_e"]).transpose(1, 2), {}, None)

    def certified_rate(self) -> float | None:
        """Return the factor per tick that the guarantee certifies, None without one."""
        return self.layer.certified_rate()
