"""The Continuous Thought Machine as a model: weights and configurations of its reference implementation.

Reference: Darlow et al., Continuous Thought Machines, arXiv:2505.05522.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tide.config import CTMConfig
from tide.models.ctm_cell import CTMCell, every_pair
from tide.models.reference import ReferenceModel, check_arguments, model_config, shared_names
from tide.models.reference_tasks import task_of

REQUIRED = {
    "d_model": "neurons",
    "d_input": "attention_width",
    "heads": "heads",
    "n_synch_out": "synchrony_out",
    "n_synch_action": "synchrony_action",
    "synapse_depth": "synapse_depth",
    "memory_length": "memory_length",
    "deep_nlms": "deep",
    "memory_hidden_dims": "hidden",
    "do_layernorm_nlm": "neuron_norm",
}
"""The reference constructor's argument → our setting, of those without a default."""
OPTIONAL = {
    "dropout": "dropout",
    "dropout_nlm": "neuron_dropout",
    "neuron_select_type": "selection",
    "n_random_pairing_self": "self_pairs",
}
LEFT_OUT = {
    "use_thought_attention": False,
    "use_static_thought_trace": False,
}
"""Arguments of parts that this baseline does not have, with the value that leaves each out."""


class CTM(ReferenceModel):
    """A Continuous Thought Machine; see :class:`~tide.models.thinker.Thinker` for its use."""

    cell: CTMCell

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name; shapes are the same."""
        return {
            **shared_names(self.cell.config.attends),
            **_synapse_names(self.cell.config.synapse_depth),
            **_trace_names(self.cell.config),
            "start": "start_activated_state",
            "start_history": "start_trace",
            **({"synchrony_action.decay": "decay_params_action"} if self.cell.config.attends else {}),
            "synchrony_out.decay": "decay_params_out",
        }

    def reference_buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each index buffer of the reference."""
        core = self.cell.config
        sizes = {"action": core.synchrony_action} if core.attends else {}
        sizes["out"] = core.synchrony_out
        return {f"{use}_neuron_indices_{side}": (size,) for use, size in sizes.items() for side in ("left", "right")}

    def _load_reference_buffers_(self, given: dict[str, Tensor]) -> None:
        for use, synchrony in (("action", self.cell.synchrony_action), ("out", self.cell.synchrony_out)):
            if synchrony is None:
                continue
            left, right = (given[f"{use}_neuron_indices_{side}"].long() for side in ("left", "right"))
            if self.cell.config.selection != "random-pairing":
                left, right = every_pair(left, right)
            synchrony.left.copy_(left)
            synchrony.right.copy_(right)


def from_reference_config(arguments: Mapping[str, Any]) -> CTM:
    """Build a CTM from the arguments of the reference's constructor and, as ``kind``, the task that it is for.

    ``ctm`` takes the feature map itself; ``ctm_parity``, ``ctm_maze``, ``ctm_sort`` and ``ctm_qamnist`` what
    :mod:`tide.models.reference_tasks` says. Raises :class:`~tide.errors.ConfigError` for arguments that are unknown,
    missing or out of range, and for backbones and positional embeddings that are not built here.
    """
    task = task_of(arguments, "ctm")
    required = (*REQUIRED, "out_dims", task.ticks, *task.further)
    check_arguments(arguments, required, (*OPTIONAL, "kind", *task.optional, *task.of_loss), {**LEFT_OUT, **task.fixed})
    settings = {ours: arguments[theirs] for theirs, ours in (REQUIRED | OPTIONAL).items() if theirs in arguments}
    settings |= {"ticks": arguments[task.ticks]} | ({} if task.attends else {"heads": 0})
    return CTM(model_config(CTMConfig(**settings), arguments, task))


def _synapse_names(depth: int) -> dict[str, str]:
    if depth == 1:
        modules = {"layers.1": "synapses.1", "layers.3": "synapses.3"}
    else:
        modules = {"first.0": "synapses.first_projection.0", "first.1": "synapses.first_projection.1"}
        for level in range(depth - 1):
            for layer in (1, 2):
                modules[f"down.{level}.{layer}"] = f"synapses.down_projections.{level}.{layer}"
                modules[f"up.{level}.{layer}"] = f"synapses.up_projections.{level}.{layer}"
            modules[f"norms.{level}"] = f"synapses.skip_lns.{level}"
    return {
        f"synapses.{ours}.{part}": f"{theirs}.{part}" for ours, theirs in modules.items() for part in ("weight", "bias")
    }


def _trace_names(core: CTMConfig) -> dict[str, str]:
    parts = {"weight": "w1", "bias": "b1", "temperature": "T"}
    if core.neuron_norm:
        parts |= {"norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias"}
    layers = 2 if core.deep else 1
    return {
        f"trace_models.layers.{layer}.{ours}": f"trace_processor.0.{2 * layer}.{theirs}"
        for layer in range(layers)
        for ours, theirs in parts.items()
    }
