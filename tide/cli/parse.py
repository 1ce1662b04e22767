"""Command lines as dataclasses, with errors of one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from tide.config.base import settings
from tide.config.io import means_none
from tide.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

A = TypeVar("A")
MESSAGE = 160  # characters of the parser's own messages: some name types in full


def value_of(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of an option that must be known before the others can be parsed; of several, the last."""
    value = None
    for argument, following in pairwise([*arguments, "--"]):
        if argument == option and not following.startswith("--"):
            value = following
        elif argument.startswith(option + "="):
            value = argument.split("=", 1)[1]
    return value


def parse(cls: type[A], arguments: Sequence[str], *, prog: str, description: str, default: Any = None) -> A:
    """Parse ``arguments`` into ``cls``; raises :class:`InputError` with one line, exits 0 after ``--help``."""
    import tyro

    _check_options(option_names(cls, default=default), arguments)
    captured = io.StringIO()
    try:
        # A frame of its own on standard error would make the message many lines: it is taken apart below.
        with contextlib.redirect_stderr(captured):
            parsed: A = tyro.cli(
                cls,
                args=list(arguments),
                prog=prog,
                description=description,
                default=default,
                # Of a section that comes in several kinds, the options are those of the kind at hand.
                config=(tyro.conf.AvoidSubcommands,),
                registry=_registry(kinds(cls)),
            )
            return parsed
    except SystemExit as leaving:
        if leaving.code == 0:
            raise
        raise InputError(_one_line(captured.getvalue(), prog)) from None


def _registry(alternatives: Mapping[str, tuple[str, ...]]) -> ConstructorRegistry:
    """Return how ``--help`` shows types: ``INT`` for one that may be none, and of a kind, which others there are."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        rest = [option for option in get_args(info.type) if option is not NoneType]
        if info.type_origin not in (Union, UnionType) or len(rest) != 1 or NoneType not in get_args(info.type):
            return None
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest[0], info.markers))
        if not isinstance(spec, PrimitiveConstructorSpec) or not (isinstance(spec.nargs, int) or spec.nargs == "*"):
            return None

        def read(given: list[str]) -> Any:
            if len(given) == 1 and means_none(given[0]):
                return None
            if spec.nargs not in (len(given), "*"):
                raise ValueError(f"must be {spec.metavar} or none, got {given[0]!r}")
            return spec.instance_from_str(given)

        return dataclasses.replace(
            spec,
            nargs=(1, spec.nargs) if isinstance(spec.nargs, int) and spec.nargs > 1 else spec.nargs,
            instance_from_str=read,
            is_instance=lambda value: value is None or spec.is_instance(value),
            str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
        )

    def rule(metavar: str, read: Callable[[str], Any], *kinds: type[Any]) -> PrimitiveConstructorSpec[Any]:
        return PrimitiveConstructorSpec(
            1, metavar, lambda texts: read(texts[0]), lambda value: isinstance(value, kinds), lambda value: [str(value)]
        )

    @registry.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type is int:
            return rule("INT", _whole_number, int)
        if info.type is float:
            return rule("FLOAT", _number, float, int)
        if info.type is Path:
            return rule("PATH", _path, Path)
        if get_origin(info.type) is not Literal or not all(isinstance(option, str) for option in get_args(info.type)):
            return None
        options = get_args(info.type)
        # Of a section that comes in several kinds, the parser knows one; which it is is settled before it is called.
        names = alternatives.get(options[0], options) if len(options) == 1 else options
        return rule(f"{{{','.join(names)}}}", partial(_choice, names), str)

    return registry


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, got {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, got {text!r}") from None


def _path(text: str) -> Path:
    if not text:
        raise ValueError("must be a path, got ''; . is the folder at hand")
    return Path(text)


def _choice(options: Sequence[str], text: str) -> str:
    if text not in options:
        raise ValueError(f"must be one of {', '.join(options)}, got {text!r}")
    return text


def kinds(cls: type[Any]) -> dict[str, tuple[str, ...]]:
    """Return, of every section that comes in several kinds, each kind with all of its section."""
    known: dict[str, tuple[str, ...]] = {}
    for hint in get_type_hints(cls).values():
        if dataclasses.is_dataclass(hint):
            section = cast("type[Any]", hint)
            names = tuple(settings(section.section)) if "kind" in get_type_hints(section) else ()
            known |= dict.fromkeys(names, names) | kinds(section)
    return known


def _one_line(text: str, prog: str) -> str:
    """Return the first part of a message in a frame, which a terminal of few characters draws with other lines."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if line.strip() and not line.startswith(("╭", "╰"))]
    rules = [place for place, line in enumerate(lines) if set(line) in ({"─"}, {"-"})]
    first = rules.pop(0) + 1 if rules and lines[rules[0]].startswith("-") else 0  # under a title that is no line there
    part = lines[first : rules[0] if rules else None]
    message = " ".join(" ".join(part).split()).rstrip(".")
    # The parser's own words stay as they are; of ours, raised while it reads a value, it says where that was.
    message = re.sub(r"^Error parsing (?:settings[\w.]*: |(?=--))", "", message)
    message = message.replace(": must be ", " must be ", 1)
    return f"{message[:MESSAGE]}; see {prog} --help"


SYNONYMS = {
    **dict.fromkeys(("lr", "learning-rate"), "train.learning-rate"),
    **dict.fromkeys(("bs", "batch-size", "batchsize", "train.batch-size"), "batch"),
    **dict.fromkeys(("epoch", "epochs", "num-epochs", "max-epochs", "max-steps", "iterations", "n-steps"), "steps"),
    **dict.fromkeys(("wd", "weight-decay"), "train.weight-decay"),
    **dict.fromkeys(("dataset", "data-path", "root"), "data"),
    **dict.fromkeys(("gpu", "gpus", "cuda", "accelerator"), "device"),
    **dict.fromkeys(("num-workers", "n-workers", "j"), "workers"),
    **dict.fromkeys(("num-threads", "cpus"), "threads"),
    **dict.fromkeys(("output", "output-dir", "outdir", "save-dir", "log-dir", "logdir", "run-dir"), "out"),
    **dict.fromkeys(("continue", "restart", "from-checkpoint"), "resume"),
    **dict.fromkeys(("amp", "fp16", "bf16", "precision"), "train.mixed-precision"),
    **dict.fromkeys(("hidden-size", "num-neurons", "units", "width", "d-model"), "core.neurons"),
    **dict.fromkeys(("image-size", "img-size", "size", "resolution"), "input.size"),
    **dict.fromkeys(("num-classes", "classes"), "output.classes"),
    **dict.fromkeys(("random-seed", "manual-seed"), "seed"),
    **dict.fromkeys(("grad-clip", "clip", "max-grad-norm"), "train.clip.total"),
    **dict.fromkeys(("grad-accum", "accumulate", "gradient-accumulation-steps"), "train.accumulation"),
    **dict.fromkeys(("warmup", "warmup-steps"), "train.warmup"),
    **dict.fromkeys(("threshold", "confidence"), "halt"),
    **dict.fromkeys(("ckpt", "weights"), "checkpoint"),
    **dict.fromkeys(("thinking-steps", "internal-ticks", "num-ticks"), "ticks"),
}
"""What options are called elsewhere, and here."""
NOTES = {"steps": " (an epoch has as many steps as training images / batch)"}


def _check_options(known: Sequence[str], arguments: Sequence[str]) -> None:
    """Name the nearest option when one is unknown."""
    for argument in arguments:
        if argument.startswith("--") and argument not in ("--", "--help"):
            name = argument.split("=", 1)[0].replace("_", "-")
            here = SYNONYMS.get(name[2:], "")
            if name not in known and f"--{here}" in known:
                note = NOTES.get(here, "") if "epoch" in name else ""
                raise InputError(f"unknown option {name!r}; here it is --{here}{note}")
            if name not in known:
                raise InputError(f"unknown option {name!r}{did_you_mean(name, known)}")


def option_names(cls: type[Any], prefix: str = "--", default: Any = None) -> list[str]:
    """Return every option that a dataclass gives: dotted for nested ones, two for each switch.

    Of a section that comes in several kinds, that of ``default`` counts.
    """
    hints = get_type_hints(cls, include_extras=True)
    names: list[str] = []
    for field in dataclasses.fields(cls):
        kind, *marks = (
            get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else [hints[field.name]]
        )
        given = [mark.name for mark in marks if getattr(mark, "name", None) is not None]
        name = (given[0] if given else field.name).replace("_", "-")
        value = getattr(default, field.name, None)
        kind = type(value) if dataclasses.is_dataclass(value) else kind
        if dataclasses.is_dataclass(kind):
            names += option_names(kind, f"{prefix}{name}." if name else prefix, value)
        else:
            names += [f"{prefix}{name}"] + [f"{prefix}no-{name}"] * (kind is bool)
    return names
