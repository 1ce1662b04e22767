"""The LSTM baseline as a model: weights and configurations of its reference implementation (arXiv:2505.05522)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tide.config import LSTMConfig, ScheduleConfig
from tide.models.lstm_cell import LSTMCell
from tide.models.reference import ReferenceModel, check_arguments, model_config, shared_names
from tide.models.reference_tasks import task_of

REQUIRED = {
    "d_model": "neurons",
    "d_input": "attention_width",
    "heads": "heads",
}
"""The reference constructor's argument → our setting, of those without a default."""
START = {"start_hidden": "start_hidden_state", "start_memory": "start_cell_state"}


class LSTM(ReferenceModel):
    """The LSTM baseline; see :class:`~tide.models.thinker.Thinker` for its use."""

    cell: LSTMCell

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name; shapes are the same."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if self._of_cells():
            layers = {f"lstm.{kind}_l0": f"lstm_cell.{kind}" for kind in kinds}
        else:
            each = [f"lstm.{kind}_l{layer}" for layer in range(self.cell.config.layers) for kind in kinds]
            layers = {name: name for name in each}
        return {**shared_names(self.cell.config.attends), **layers, **START}

    def reference_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the reference's shape of what has this name there and ``shape`` here."""
        return shape[1:] if self._of_cells() and name in START.values() else shape

    def _of_cells(self) -> bool:
        """Whether the reference's model is a single LSTM cell and no stack of layers: so on questions over digits."""
        return isinstance(self.config.input, ScheduleConfig)


def from_reference_config(arguments: Mapping[str, Any]) -> LSTM:
    """Build the baseline from the arguments of the reference's constructor and, as ``kind``, the task that it is for.

    ``lstm`` takes the feature map itself; ``lstm_parity``, ``lstm_maze`` and ``lstm_qamnist`` what
    :mod:`tide.models.reference_tasks` says. Raises :class:`~tide.errors.ConfigError` for arguments that are unknown,
    missing or out of range, and for backbones and positional embeddings that are not built here.
    """
    task = task_of(arguments, "lstm")
    layers = {} if task.ticks == "iterations_for_answering" else {"num_layers": "layers"}
    named = REQUIRED | layers | {task.ticks: "ticks"}
    check_arguments(
        arguments, (*named, "out_dims", *task.further), ("dropout", "kind", *task.optional, *task.of_loss), task.fixed
    )
    settings = {"layers": 1} | {ours: arguments[theirs] for theirs, ours in named.items()}
    return LSTM(model_config(LSTMConfig(**settings, dropout=arguments.get("dropout", 0.0)), arguments, task))
