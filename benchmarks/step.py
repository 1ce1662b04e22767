"""Time one training step, split it by component, and compare it with a floor of matrix products only.

``python benchmarks/step.py --preset mnist --threads 2 --out FILE.json`` measures :meth:`tide.train.step.Trainer.step`
(forward, loss, backward, clipping, AdamW, projection) on random images, past the curriculum: every loss term counts.
The loop over ticks is the eager one: operators are what is timed and counted here.

**Split**: self CPU time under ``torch.profiler``, Python's own time between operators included. Each component's
functions are wrapped in a named range (from here, not in the library), and a forward event belongs to the innermost
range around it. An autograd node carries the sequence number under which it was made; its maker is the last forward
operator to start with that number, since operators that make no node only peek at the next one. A node and all it runs,
the summing of gradients that meet included, belong to its maker's component as "backward". ``loop`` is the step's own
code and what joins components (concatenation, rectified sum of rate and correction, stacking over ticks);
``unattributed`` is the autograd engine between nodes and the storing of gradients. The profiler adds some microseconds
to every operator, so components of many small ones weigh too much: ``inflation`` is profiled over unprofiled seconds.
The split exists on the CPU and without ``--compile`` only.

**Floor**: a ``TorchDispatchMode`` notes every matrix product and convolution of a step, backward included. The floor
runs exactly these and nothing else, in the same order, on random tensors of the same shapes, strides and types. There
is one set of tensors per distinct signature, so caches serve them better than in the step; products write into tensors
made beforehand, convolutions still allocate. Step and floor alternate in one run.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

import tide.models.thinker
import tide.models.tide
import tide.train.step
from tide.config import Config
from tide.device import DeviceName, pick_device, set_threads
from tide.errors import check
from tide.models.presets import preset
from tide.native.choice import VARIABLE
from tide.runs.folder import describe_environment
from tide.train.step import Trainer, alternate, step_on_random_images
from tide.train.supervised import resolved

RANGE, NODE = "tide::", "autograd::engine::evaluate_function"
LOOP, UNATTRIBUTED = "loop", "unattributed"
PROFILED_STEPS = 3

aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution, aten.convolution_backward)
FLOPS: dict[Any, Callable[..., int]] = {
    **{packet: flop_registry[packet] for packet in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, *CONVOLUTIONS)},
    aten.mv: lambda matrix, vector, **_: 2 * matrix.numel(),
    aten.linear: lambda inputs, weight, bias=None, **_: 2 * inputs.numel() * weight.shape[0],
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure one training step. What is not given comes from the preset; threads, from torch."""

    preset: str = "mnist"
    batch: int | None = None
    neurons: int | None = None
    ticks: int | None = None
    threads: int | None = None
    steps: int = 20
    """Timed steps, after ``warmup`` others."""
    warmup: int = 3
    compile: bool = False
    """Compile one tick; products are counted before, and there is no split."""
    device: DeviceName = "cpu"
    out: Path | None = None
    """JSON file to write."""


def make_config(settings: Settings) -> Config:
    """Return the preset with the settings that are given."""
    core = {name: value for name in ("neurons", "ticks") if (value := getattr(settings, name)) is not None}
    train = {} if settings.batch is None else {"batch": settings.batch}
    return resolved(preset(settings.preset, core=core, train=train))


def component_functions(trainer: Trainer) -> dict[str, list[tuple[Any, str]]]:
    """Return where each component's functions are looked up, as (owner, attributes), by the component's name."""
    model, cell, here = trainer.model, trainer.model.cell, tide.train.step
    return {
        "backbone": [(model.backbone, "forward")],
        "attention": [(cell.attention, "prepare forward")],
        "Wilson-Cowan": [(cell.wilson_cowan, "compose forward"), (tide.models.tide, "ei_ratio")],
        "lateral inhibition": [(cell.lateral, "compose forward")],
        "neuron-level models": [(cell.neuron_models, "compose forward"), (tide.models.tide, "push")],
        "synchronisation": [(cell.synchronisation, "initial retention forward read")],
        "memory": [(cell.memory, "initial scan read"), (cell, "consolidate_")],
        "head": [(cell.head, "forward"), (tide.models.thinker, "certainty")],
        "loss": [(here, "objective read_answers")],
        "optimiser, clipping, projection": [
            (trainer.optimizer, "zero_grad step"),
            (here, "gradient_norm clip_gradients_"),
            (model, "project_"),
        ],
        UNATTRIBUTED: [(torch.autograd, "backward")],
    }


@contextmanager
def ranges(trainer: Trainer) -> Iterator[None]:
    """Wrap every component's functions in a named range of the profiler, for the time of the block."""

    def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with record_function(RANGE + name):
                return function(*args, **kwargs)

        return wrapped

    with ExitStack() as stack:
        for name, places in component_functions(trainer).items():
            for owner, attribute in [(owner, each) for owner, names in places for each in names.split()]:
                stack.enter_context(patch.object(owner, attribute, named(getattr(owner, attribute), name)))
        yield


def split(trainer: Trainer, step: Callable[[], None], steps: int = PROFILED_STEPS) -> dict[str, Any]:
    """Return each component's share of a step, forward and backward, their sum, and the profiled seconds of a step."""
    with ranges(trainer), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            with record_function(RANGE + LOOP):
                step()
    events = profiler.events()
    whole = [event.cpu_time_total for event in events if event.name == RANGE + LOOP]
    times = attribute(events)
    names = [*component_functions(trainer), LOOP]
    shares = {name: {way: times[name, way] / sum(whole) for way in ("forward", "backward")} for name in names}
    return {
        "shares": shares,
        "sum_of_shares": sum(sum(share.values()) for share in shares.values()),
        "seconds": statistics.median(whole) * 1e-6,
    }


def attribute(events: Sequence[Any]) -> Counter[tuple[str, str]]:
    """Return the self CPU time in µs of profiled events by (component, "forward" or "backward")."""
    makers: dict[int, str] = {}
    homes = [(event, home) for event in events if (home := _home(event)) is not None]
    for event, home in sorted(homes, key=lambda pair: pair[0].time_range.start):
        if event.sequence_nr >= 0 and home.name.startswith(RANGE):
            makers[event.sequence_nr] = home.name.removeprefix(RANGE)
    times: Counter[tuple[str, str]] = Counter()
    for event, home in homes:
        if home.name.startswith(RANGE):
            key = (home.name.removeprefix(RANGE), "forward")
        else:
            key = (makers.get(home.sequence_nr, UNATTRIBUTED), "backward")
        times[key] += event.self_cpu_time_total
    return times


def _home(event: Any) -> Any:
    """Return the innermost range or autograd node that holds an event, or None."""
    while event is not None and not event.name.startswith((RANGE, NODE)):
        event = event.cpu_parent
    return event


@dataclass(frozen=True)
class Layout:
    """A tensor without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        """Describe a tensor."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)

    def fill(self) -> Tensor:
        """Return a random tensor of this layout."""
        reach = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        return torch.randn(reach, dtype=self.dtype, device=self.device).as_strided(self.shape, self.stride)


@dataclass(frozen=True)
class Product:
    """One call of a matrix product or convolution, its tensors replaced by their layouts."""

    operator: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    flops: int

    @property
    def kind(self) -> str:
        """The operator's name: mm, addmm, convolution, ..."""
        return str(self.operator.overloadpacket.__name__)

    @property
    def signature(self) -> str:
        """The same for calls that cost the same."""
        return repr((self.operator, self.args, self.kwargs))


class ProductCounter(TorchDispatchMode):
    """Notes every matrix product and convolution that runs in its block, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and note it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.overloadpacket in FLOPS:
            flops = FLOPS[func.overloadpacket](*args, **kwargs, out_val=out)
            args, kwargs = tree_map_only(Tensor, Layout.of, (args, kwargs))
            self.products.append(Product(func, args, kwargs, flops))
        return out


def by_kind(products: Sequence[Product]) -> dict[str, dict[str, float]]:
    """Return calls and GFLOP by kind of product."""
    calls, flops = Counter[str](), Counter[str]()
    for product in products:
        calls[product.kind] += 1
        flops[product.kind] += product.flops
    return {kind: {"calls": calls[kind], "gflop": flops[kind] * 1e-9} for kind, _ in flops.most_common()}


def make_floor(products: Sequence[Product]) -> Callable[[], None]:
    """Return a function that runs the products in their order, on tensors made here, and nothing else."""
    ready = {signature: _prepare(product) for signature, product in {p.signature: p for p in products}.items()}
    calls = [ready[product.signature] for product in products]

    @torch.no_grad()
    def floor() -> None:
        for call in calls:
            call()

    return floor


def _prepare(product: Product) -> Callable[[], Any]:
    args, kwargs = tree_map_only(Layout, Layout.fill, (product.args, dict(product.kwargs)))
    if product.operator.overloadpacket in (*CONVOLUTIONS, aten.linear):  # no out= that would spare the allocation
        return partial(product.operator, *args, **kwargs)
    # torch.mm and its like cost less per call from Python than the operator object.
    return partial(getattr(torch, product.kind), *args, **kwargs, out=product.operator(*args, **kwargs))


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {"median": statistics.median(seconds), "minimum": min(seconds), "maximum": max(seconds)}


def measure(settings: Settings) -> dict[str, Any]:
    """Measure and return everything that is printed and written."""
    check(settings.steps >= 1, f"--steps must be at least 1, got {settings.steps}")
    set_threads(settings.threads)
    device, config = pick_device(settings.device), make_config(settings)
    trainer, step = step_on_random_images(config, device)
    with ProductCounter() as counter:
        step()
    floor = make_floor(counter.products)
    if settings.compile:
        trainer.model.compile_step()
    for _ in range(settings.warmup):
        step()
        floor()
    profiled = split(trainer, step) if device.type == "cpu" and not settings.compile else None
    seconds, floor_seconds = (summary(s) for s in alternate((step, floor), settings.steps, device))
    if profiled is not None:
        profiled["inflation"] = profiled["seconds"] / seconds["median"]
    gflop = sum(product.flops for product in counter.products) * 1e-9
    given = replace(settings, batch=config.train.batch, neurons=config.core.neurons, ticks=config.core.ticks)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **describe_environment(),
        "command": shlex.join(["python", *sys.argv]),
        "accelerator": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "settings": asdict(given) | {"device": str(device), "out": settings.out and str(settings.out)},
        "step_seconds": seconds,
        "steps_per_second": 1 / seconds["median"],
        "split": profiled,
        "products": by_kind(counter.products),
        "gflop": gflop,
        "floor_seconds": floor_seconds,
        "floor_gflop_per_second": gflop / floor_seconds["median"],
        "step_over_floor": seconds["median"] / floor_seconds["median"],
        "step_over_floor_of_minima": seconds["minimum"] / floor_seconds["minimum"],
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a result as tables."""
    given, split_, kinds = result["settings"], result["split"], result["products"]
    console.print(
        f"{given['preset']}: {given['neurons']} neurons, {given['ticks']} ticks, batch {given['batch']}, "
        f"{result['threads']} threads, {given['device']}{', compiled' if given['compile'] else ''}; "
        f"{result['processor']}, torch {result['libraries']['torch']}, commit {result['commit']}"
    )
    columns = ("median", "minimum", "maximum")
    rows = [(name, *(f"{result[f'{name}_seconds'][c]:.4f}" for c in columns)) for name in ("step", "floor")]
    console.print(_table("training step", ("seconds", *columns), rows))
    if split_ is not None:
        rows = [(name, *_percent(*share.values(), sum(share.values()))) for name, share in split_["shares"].items()]
        rows.append(("sum", "", "", *_percent(split_["sum_of_shares"])))
        title = f"share of the profiled step ({split_['inflation']:.2f} times as long), %"
        console.print(_table(title, ("component", "forward", "backward", "both"), rows))
    rows = [(name, str(kind["calls"]), f"{kind['gflop']:.4f}") for name, kind in kinds.items()]
    rows.append(("all", str(sum(kind["calls"] for kind in kinds.values())), f"{result['gflop']:.4f}"))
    console.print(_table("products and convolutions of a step", ("operator", "calls", "GFLOP"), rows))
    console.print(
        f"{result['steps_per_second']:.3f} steps/s; floor {result['floor_gflop_per_second']:.1f} GFLOP/s; "
        f"step / floor = {result['step_over_floor']:.2f} (of minima {result['step_over_floor_of_minima']:.2f})"
    )


def _percent(*shares: float) -> list[str]:
    return [f"{100 * share:.1f}" for share in shares]


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    return table


def main() -> None:
    """Read the command line, measure, write, print."""
    settings = tyro.cli(Settings)
    os.environ[VARIABLE] = "0"
    try:
        result = measure(settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if settings.out is not None:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    show(result, Console())


if __name__ == "__main__":
    main()
