"""Interventions on a TIDE network while it thinks: neurons silenced, inhibition of E made weaker or stronger.

Nothing of the tick changes: an intervention is another state before the first tick, and another set of composed weights
for every tick. So the loop over ticks takes it as it is, in torch and in an exported graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tide.errors import InputError
from tide.models.ticks import TideMoment
from tide.models.tide import TickWeights, TideCell


def silenced_start(cell: TideCell, moment: TideMoment, active: Tensor) -> TideMoment:
    """Return where the first tick begins with silenced neurons at rate zero.

    ``active`` (D,) is 1 for a neuron that takes part and 0 for one that is silenced. Weights are left as they are:
    :func:`intervened` changes those. Raises :class:`InputError` as :func:`check_silencing` does.
    """
    check_silencing(cell)
    rates = moment.state.rates * active
    synchrony = cell.synchronisation.initial(rates)
    _, latent = cell.synchronisation.read(synchrony)
    return moment.changed(rates=rates, synchrony=synchrony, latent=latent)


def intervened(cell: TideCell, weights: TickWeights, active: Tensor, inhibition: Tensor) -> TickWeights:
    """Return the weights of a tick under an intervention.

    ``active`` (D,) as above: a silenced neuron has gain zero, hence φ(h) = 0, and no correction by its neuron-level
    model. ``inhibition`` () is a factor on all that inhibits excitatory neurons: W_EI and the strength γ of the lateral
    inhibition. Both are without effect at ones. Raises :class:`InputError` as :func:`check_silencing` does.
    """
    check_silencing(cell)
    n_e, recurrent = cell.config.n_e, weights.dynamics.recurrent  # row = source neuron
    from_i = torch.cat((recurrent[n_e:, :n_e] * inhibition, recurrent[n_e:, n_e:]), 1)
    dynamics = weights.dynamics._replace(
        recurrent=torch.cat((recurrent[:n_e], from_i)), gain=weights.dynamics.gain * active
    )
    models = weights.neuron_models
    if models is not None:
        kept = active[:, None, None]
        models = models._replace(second=models.second * kept, second_bias=models.second_bias * kept)
    lateral = weights.lateral._replace(inhibit=weights.lateral.inhibit * inhibition)
    return weights._replace(dynamics=dynamics, lateral=lateral, neuron_models=models)


def check_silencing(cell: TideCell) -> None:
    """Raise :class:`InputError` where a gain of zero silences nobody: softplus(0) is not 0."""
    if cell.config.activation != "relu":
        raise InputError(
            f"core.activation must be relu to silence neurons, got {cell.config.activation}; under another "
            "activation a neuron without input still fires"
        )
