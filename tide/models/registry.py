"""Cells and backbones that live outside the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tide.config.extensions import add_kind
from tide.models.cell import Cell

CELLS: dict[type[Any], Callable[..., Cell]] = {}
BACKBONES: dict[type[Any], Callable[[Any, Any], nn.Module]] = {}


def register_cell(config_class: type[Any], build: Callable[..., Cell]) -> None:
    """Make a cell known under the ``kind`` of its configuration, for ``core`` in settings, files and commands.

    ``config_class`` is a frozen dataclass with a field ``kind: Literal["mine"] = "mine"``, a default for every other
    field, and ``ticks`` (int), ``attends`` (bool: reads tokens (B, N, d_kv); False: numbers (B, features)) and
    ``population`` (str: the neurons in words) as fields or properties. ``build(config, features=, outputs=, seed=)``
    returns the :class:`~tide.models.cell.Cell`: ``features`` is the width of the tokens, ``outputs`` how many logits a
    tick has. Raises :class:`~tide.errors.ConfigError` for a name that is taken and for another class.
    """
    add_kind("core", config_class)
    CELLS[config_class] = build


def register_backbone(config_class: type[Any], build: Callable[[Any, Any], nn.Module]) -> None:
    """Make a backbone known under the ``kind`` of its configuration, for ``backbone`` in settings, files and commands.

    ``config_class`` is as for :func:`register_cell`, with ``features``, the width d_kv of a token. ``build(config,
    input)`` returns the module from normalised images (B, channels, H, W), or from sequences (B, length), to tokens
    (B, N, d_kv); ``input`` is the section of this name. Raises as :func:`register_cell`.
    """
    add_kind("backbone", config_class)
    BACKBONES[config_class] = build
