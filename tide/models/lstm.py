"""The LSTM baseline as a model: weights and configurations of its reference implementation (arXiv:2505.05522)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tide.config import LSTMConfig
from tide.models.lstm_cell import LSTMCell
from tide.models.reference import ATTENTION, NOT_BUILT, ReferenceModel, bare_config, check_arguments

REQUIRED = {
    "iterations": "ticks",
    "d_model": "neurons",
    "d_input": "attention_width",
    "heads": "heads",
    "num_layers": "layers",
}
"""The reference constructor's argument → our setting, of those without a default."""
LEFT_OUT = {**NOT_BUILT, "kind": "lstm"}
"""Arguments of parts that this baseline does not have, with the value that leaves each out."""


class LSTM(ReferenceModel):
    """The LSTM baseline; see :class:`~tide.models.thinker.Thinker` for its use."""

    cell: LSTMCell

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name; shapes are the same."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        layers = [f"lstm.{kind}_l{layer}" for layer in range(self.cell.config.layers) for kind in kinds]
        return {
            **ATTENTION,
            **{name: name for name in layers},
            "start_hidden": "start_hidden_state",
            "start_memory": "start_cell_state",
        }


def from_reference_config(arguments: Mapping[str, Any]) -> LSTM:
    """Build the baseline from the arguments of the reference's constructor; the input is the feature map itself.

    Raises :class:`~tide.errors.ConfigError` for arguments that are unknown, missing or out of range, and for backbones
    and positional embeddings: there are ours.
    """
    check_arguments(arguments, (*REQUIRED, "out_dims"), ("dropout",), LEFT_OUT)
    settings = {ours: arguments[theirs] for theirs, ours in REQUIRED.items()}
    return LSTM(bare_config(LSTMConfig(**settings, dropout=arguments.get("dropout", 0.0)), arguments))
