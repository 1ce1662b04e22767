"""Parts of excitatory-inhibitory networks as plain modules, for anybody's network; they know of no settings.

Shapes: B samples, D neurons (the n_E excitatory ones first, then n_I), P pairs, M ticks of history.
"""

from tide.nn.attention import CrossAttention, ProjectedAttention
from tide.nn.constraints import Bounded, RecurrentBlocks, project_, violations
from tide.nn.ctm import LinearSynapses, TraceModels, UNetSynapses
from tide.nn.dynamics import WilsonCowan, ei_ratio, perron_estimate
from tide.nn.ei_rnn import EIRNN, EICell
from tide.nn.lateral import LateralInhibition
from tide.nn.memory import MemoryState, SurpriseMemory
from tide.nn.neuron_models import NeuronModels, push
from tide.nn.state import Batched
from tide.nn.synchrony import PairSynchrony, Synchrony, SynchronyState

__all__ = [
    "EIRNN",
    "Batched",
    "Bounded",
    "CrossAttention",
    "EICell",
    "LateralInhibition",
    "LinearSynapses",
    "MemoryState",
    "NeuronModels",
    "PairSynchrony",
    "ProjectedAttention",
    "RecurrentBlocks",
    "SurpriseMemory",
    "Synchrony",
    "SynchronyState",
    "TraceModels",
    "UNetSynapses",
    "WilsonCowan",
    "ei_ratio",
    "perron_estimate",
    "project_",
    "push",
    "violations",
]
