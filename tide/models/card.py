"""What must be said of trained weights: where they come from, how good they are on which images, and for what not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tide.config import OutputConfig
from tide.errors import CheckpointError, one_line
from tide.inputs import described
from tide.json_io import read_mapping

if TYPE_CHECKING:
    from tide.models.thinker import Thinker

CARD = "card.json"
KINDS = {"float": float, "int": int, "float | None": float}  # of fields that are no text


@dataclass(frozen=True, kw_only=True)
class Card:
    """One set of trained weights.

    ``data`` is the set trained on, ``command`` and ``commit`` what made them; ``accuracy`` in [0, 1], at the most
    certain tick, on ``images`` images or drawn samples, ``measured_on`` which; of answers at several places it is the
    share of places, and ``whole_accuracy`` that of answers that are right as a whole, else None; ``limits`` a sentence
    on what the weights are not good for; ``digest`` that of :func:`digest`.
    """

    data: str
    command: str
    commit: str
    accuracy: float
    images: int
    measured_on: str
    limits: str
    digest: str
    whole_accuracy: float | None = None

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card; raises :class:`CheckpointError` where it is damaged."""
        try:
            found = read_mapping(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is not a card of this library ({one_line(error)}); it is damaged") from error
        kinds = {field.name: KINDS.get(str(field.type), str) for field in fields(cls)}
        wanted = {name: kind for name, kind in kinds.items() if name in found or name != "whole_accuracy"}
        if found.keys() != wanted.keys() or not all(isinstance(found[name], kind) for name, kind in wanted.items()):
            raise CheckpointError(f"{path} is not a card of this library, one with {', '.join(kinds)} is wanted")
        return cls(**found)

    def told(self) -> str:
        """Return how good the weights are, in a few words."""
        if self.whole_accuracy is None:
            return f"{100 * self.accuracy:.2f} % of {self.images:,} images"
        whole = f"{100 * self.whole_accuracy:.2f} % of whole answers"
        return f"{100 * self.accuracy:.2f} % of places and {whole} of {self.images:,} drawn samples"

    def write(self, path: Path) -> None:
        """Write the card; raises OSError where that fails."""
        stated = {name: value for name, value in asdict(self).items() if value is not None}
        path.write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all numbers, names in order, floating ones as float32 whatever the file holds."""
    sha = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        value = value.to(torch.float32) if value.is_floating_point() else value
        sha.update(name.encode() + b"\0" + value.numpy().tobytes())
    return sha.hexdigest()


def read_card(folder: Path, state: Mapping[str, Tensor]) -> Card | None:
    """Return the card beside weights, None where there is none.

    Raises :class:`CheckpointError` where it is damaged, or the weights are not those that it speaks of.
    """
    if not (folder / CARD).is_file():
        return None
    card = Card.read(folder / CARD)
    found = digest(state)
    if found != card.digest:
        raise CheckpointError(
            f"the weights in {folder} have the checksum {found[:12]}..., {card.digest[:12]}... is wanted by {CARD}: "
            "they are damaged or another model's; install or fetch them again"
        )
    return card


def as_markdown(model: Thinker) -> str:
    """Return the text of a model card, without the header that a hub wants."""
    config, card = model.config, model.card
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows: dict[str, Any] = {
        "core": f"{config.core.kind}: {config.core.population}, {config.core.ticks} ticks, {parameters:,} parameters",
        config.input.kind: f"{described(config)}, {config.output.classes} classes{_places(config.output)}",
    }
    if card is None:
        rows["accuracy"] = "not stated: nobody wrote down what these weights were measured on"
    else:
        rows |= {
            "trained on": card.data,
            "accuracy": f"{card.told()}: {card.measured_on}",
            "command": f"`{card.command}`",
            "commit": card.commit,
            "checksum": card.digest,
            "limits": card.limits,
        }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    shown = TAKES[config.input.kind]
    use = USE.format(inputs=shown.partition(":")[0], shown=shown)
    return f"# TIDE: {config.core.kind}\n\n| | |\n|---|---|\n{table}\n\n{use}"


def _places(output: OutputConfig) -> str:
    if output.emitted:
        return f", {output.emitted} emitted one by one"
    return f" at each of {' x '.join(map(str, output.positions))} places" if output.positions else ""


TAKES = {
    "image": "images: (B, channels, H, W), float in [0, 1]",
    "sequence": "sequences: (B, length), float",
    "schedule": "questions: tide.inputs.Questions",
}
USE = """```python
import tide

model = tide.load("hub:OWNER/NAME")  # a folder works, too
answer = model.predict({inputs}, halt=0.9)  # {shown}
```

The library: `pip install tide-dynamics`. The network: TIDE (arXiv:2605.19403).
"""
