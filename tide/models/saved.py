"""A model on disk: weights, configuration and card; models that come with the library, runs and the hub."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tide.config import ModelConfig, OutputConfig
from tide.config.io import FORMAT, from_dict, to_dict
from tide.errors import CheckpointError, ConfigError, InputError, did_you_mean, one_line, short_repr
from tide.files import read_mapping
from tide.models.inputs import described
from tide.nn.constraints import violations

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def write_model(directory: Path, config: ModelConfig, state: dict[str, Tensor]) -> None:
    """Write weights and configuration into an existing directory; raises OSError where that fails."""
    # Serialised first, so that a full disk is an ordinary OSError of the write.
    (directory / WEIGHTS).write_bytes(save({name: t.detach().contiguous().cpu() for name, t in state.items()}))
    text = json.dumps({"format": FORMAT, **to_dict(config)}, indent=2)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_model(directory: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read what :func:`write_model` wrote.

    Weights are read as safetensors only, which holds no code; a pickle in its place is refused unread. Raises
    :class:`CheckpointError` for missing, damaged, foreign or newer files.
    """
    config = read_config(directory / CONFIG)
    path = directory / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a folder that save_pretrained or `tide train` wrote")
    try:
        return config, load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({one_line(error)}); use another checkpoint, this one is damaged"
        ) from error


def read_config(path: Path) -> ModelConfig:
    """Read the configuration that :func:`write_model` wrote; raises as :func:`read_model`."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a folder that save_pretrained or `tide train` wrote")
    try:
        mapping = read_mapping(path)
        version = mapping.pop("format")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a configuration of this library ({error!r}); it is damaged") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path} must have format {FORMAT} for this version, got {version!r}; install the version that wrote it"
        )
    try:
        return from_dict(ModelConfig, mapping)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load_weights(model: torch.nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load ``state`` into ``model``; warns where a bounded parameter is outside its bounds.

    Raises :class:`CheckpointError` where names or shapes differ, or a number is not finite.
    """
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"the weights in {source} must be finite, got NaN or infinity in {broken[0]}; use another checkpoint"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise CheckpointError(
            f"the weights in {source} must fit the configuration, got another model's ({first}); restore the folder"
        ) from error
    outside = violations(model)
    if outside:
        more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
        warnings.warn(
            f"{outside[0]}{more} in {source} is outside its bounds, as after training without model.project_(); call "
            "it before you trust Dale's principle or a guarantee",
            stacklevel=2,
        )


def existing(folder: Path) -> Path | None:
    """Return the checkpoint folder that is whole: ``folder``, or the one that a crash left between two renames."""
    for candidate in (folder, folder.with_name(f".{folder.name}.old")):
        if candidate.is_dir():
            return candidate
    return None


def run_checkpoint(run: Path, name: str) -> Path:
    """Return the folder of checkpoint ``"best"`` or ``"last"`` of a run folder."""
    folder = existing(run / name)
    if folder is None:
        raise CheckpointError(
            f"{run} holds no checkpoint {name!r}; let the run reach its first evaluation or checkpoint"
        )
    return folder


# What a card says of trained weights: where they come from, how good they are on which images, and for what not.


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
            mapping = read_mapping(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is not a card of this library ({one_line(error)}); it is damaged") from error
        kinds = {field.name: KINDS.get(str(field.type), str) for field in fields(cls)}
        stated = {name: value for name, value in mapping.items() if name in kinds}
        required = kinds.keys() - {"whole_accuracy"}
        if not required <= stated.keys() or not all(isinstance(value, kinds[name]) for name, value in stated.items()):
            raise CheckpointError(
                f"{path} is not a card of this library: it must say {', '.join(kinds)}; it is damaged"
            )
        if newer := sorted(mapping.keys() - kinds.keys()):
            warnings.warn(f"{path} says {', '.join(newer)[:100]}, which this version does not know", stacklevel=2)
        return cls(**stated)

    def summary(self) -> str:
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
    actual = digest(state)
    if actual != card.digest:
        raise CheckpointError(
            f"the weights in {folder} must have the checksum in {CARD}, {card.digest[:12]}..., got {actual[:12]}...; "
            "install or fetch them again"
        )
    return card


def as_markdown(config: ModelConfig, card: Card | None, *, parameters: int, takes: str) -> str:
    """Return the text of a model card, without the header that a hub wants; ``takes`` says what inputs are."""
    rows: dict[str, Any] = {
        "core": f"{config.core.kind}: {config.core.population}, {config.core.ticks} ticks, {parameters:,} parameters",
        config.input.kind: f"{described(config)}, {config.output.classes} classes{_places(config.output)}",
    }
    if card is None:
        rows["accuracy"] = "not stated: nobody wrote down what these weights were measured on"
    else:
        rows |= {
            "trained on": card.data,
            "accuracy": f"{card.summary()}: {card.measured_on}",
            "command": f"`{card.command}`",
            "commit": card.commit,
            "checksum": card.digest,
            "limits": card.limits,
        }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    use = USE.format(inputs=takes.partition(":")[0], takes=takes)
    return f"# TIDE: {config.core.kind}\n\n| | |\n|---|---|\n{table}\n\n{use}"


def _places(output: OutputConfig) -> str:
    if output.emitted:
        return f", {output.emitted} emitted one by one"
    return f" at each of {' x '.join(map(str, output.positions))} places" if output.positions else ""


USE = """```python
import tide

model = tide.load("hub:OWNER/NAME")  # a folder works, too
answer = model.predict({inputs}, halt=0.9)  # {takes}
```

The library: `pip install tide-dynamics`. The network: TIDE (arXiv:2605.19403).
"""


# Trained weights that come with the library: ``pretrained:NAME``.


PRETRAINED = "pretrained:"


def names() -> tuple[str, ...]:
    """Return the names of the models that come with the library."""
    return tuple(sorted(folder.name for folder in _shelf().iterdir() if (folder / CARD).is_file()))


def shipped(name: str) -> Path:
    """Return the folder of one of :func:`names`; raises :class:`InputError` for another name."""
    if not isinstance(name, str) or name not in names():
        known = did_you_mean(name, names()) if isinstance(name, str) else ""
        raise InputError(f"no model {short_repr(name)} comes with the library{known}")
    return _shelf() / name


def local(path: Path) -> Path:
    """Return the folder of ``pretrained:NAME``, and any other path as it is; raises as :func:`shipped`."""
    return shipped(str(path).removeprefix(PRETRAINED)) if str(path).startswith(PRETRAINED) else path


def _shelf() -> Path:
    return Path(str(files("tide"))) / "pretrained"


# Weights in half precision: half the bytes, for models that travel.


AnyModule = TypeVar("AnyModule", bound=nn.Module)

MAX_HALF = torch.finfo(torch.float16).max


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with floating tensors as float16; raises :class:`InputError` where a number is too large."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.abs().amax() <= MAX_HALF:
            raise InputError(
                f"{name} must be at most {MAX_HALF:g} in half precision, got {float(tensor.abs().amax()):g}"
            )
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def rounded(model: AnyModule) -> AnyModule:
    """Return a copy of ``model``, in eval mode, whose weights are exactly what half precision holds of them."""
    twin = copy.deepcopy(model).eval()
    twin.load_state_dict(halved(model.state_dict()))
    return twin
