"""Say whether two checkouts train to the same numbers: ``python benchmarks/same_numbers.py OLD NEW``.

Trains the experiments of :data:`EXPERIMENTS` for 20 steps in both checkouts, each run in a process of its own on one
thread, with the native loop off and on, and compares ``metrics.jsonl``, the last weights and the last answers byte for
byte. Prints a table in Markdown: "equal", or the first line and key that differ. Exit code 1 if anything differs.

``--keep DIR`` keeps the runs, as ``DIR/{old,new}/{off,on}/EXPERIMENT``; ``--reuse`` then takes the old checkout's from
there where its commit and their settings are the same. Data sets are looked for in ``$TIDE_DATA``; experiments whose
data are missing are named and left out. The native loop must run where an experiment's model has one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from PIL import Image

STEPS = 20
FILES = ("metrics.jsonl", "last/model.safetensors", "answers.safetensors")
RECORD = "made-with.json"

START = """
import pathlib, runpy, sys, tide
home = pathlib.Path(sys.argv.pop(1))
if home not in pathlib.Path(tide.__file__).resolve().parents:
    sys.exit(f"tide was imported from {tide.__file__}, not from {home}")
runpy.run_module("tide", run_name="__main__", alter_sys=True)
"""
"""What a run's process does: ``python -m tide``, after a look at where it comes from."""

OFF, ON = "off", "on"


@dataclass(frozen=True)
class Experiment:
    """A preset with settings that make it small."""

    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    """Folder of ``$TIDE_DATA`` that it needs; ``photos`` is drawn by this script."""
    native: bool = True
    """Whether its model has a native loop. If not, one run tells all."""


SMALL: dict[str, Any] = {
    "train.log-every": 1,
    "train.monitor-every": 5,
    "train.eval-every": 10,
    "train.probe-every": 7,
    "train.probe-images": 50,
    "train.batch": 16,
}
"""Settings of every experiment; its own come on top."""

MNIST = {"core.ticks": 8, "data.validation": 100}
CIFAR = {"core.ticks": 5, "core.neurons": 256, "data.validation": 100}
PHOTOS = {"core.ticks": 5, "train.batch": 4, "train.eval-every": 20}
QUESTIONS = {"train.batch": 8}

EXPERIMENTS: dict[str, Experiment] = {
    "digits": Experiment("digits"),
    "mnist": Experiment("mnist", MNIST, "mnist"),
    "fashion-mnist": Experiment("fashion-mnist", MNIST, "fashion-mnist"),
    "cifar10": Experiment("cifar10", CIFAR, "cifar-10"),
    "imagenet.tiny": Experiment("imagenet.tiny", {"train.batch": 4, "train.eval-every": 20}, "photos"),
    "photos.small": Experiment("photos.small", PHOTOS, "photos"),
    "parity.16": Experiment("parity.16"),
    "sort.8": Experiment("sort.8", native=False),
    "maze.9": Experiment("maze.9"),
    "qamnist.small": Experiment("qamnist.small", QUESTIONS, "mnist"),
    "anytime.digits": Experiment("anytime.digits"),
    "anytime.maze.9": Experiment("anytime.maze.9"),
    "ctm.digits": Experiment("ctm.digits", native=False),
    "ctm.parity.16": Experiment("ctm.parity.16", native=False),
    "ctm.sort.8": Experiment("ctm.sort.8", native=False),
    "ctm.maze.9": Experiment("ctm.maze.9", native=False),
    "ctm.qamnist.small": Experiment("ctm.qamnist.small", QUESTIONS, "mnist", native=False),
    "lstm.digits": Experiment("lstm.digits", native=False),
    "lstm.parity.16": Experiment("lstm.parity.16", native=False),
    "lstm.sort.8": Experiment("lstm.sort.8", native=False),
    "lstm.maze.9": Experiment("lstm.maze.9", native=False),
    "lstm.qamnist.small": Experiment("lstm.qamnist.small", QUESTIONS, "mnist", native=False),
    "anytime-ctm.digits": Experiment("anytime-ctm.digits", native=False),
    "anytime-lstm.digits": Experiment("anytime-lstm.digits", native=False),
    # Presets with other parts switched on.
    "digits, truncated": Experiment(
        "digits", {"train.tbptt": 4, "train.recompute": 2, "train.accumulation": 2, "train.clip.quantile": 0.9}
    ),
    "digits, guaranteed": Experiment(
        "digits", {"core.guarantee": "lds", "core.norm": "rms_cap", "core.attention.residual": True}
    ),
    "digits, all terms": Experiment(
        "digits",
        {
            "loss.game": "augmented_lagrangian",
            "loss.game-every": 3,
            "loss.spectral-weight": 0.1,
            "loss.reconstruction-weight": 0.1,
            "train.clip.dynamics": 0.5,
        },
    ),
    "digits, one memory": Experiment(
        "digits", {"core.memory.scope": "batch", "core.ratio-normalization": "per_neuron", "data.validation": 0.1}
    ),
    "digits, untyped": Experiment(
        "digits",
        {
            "core.synchrony.typed": False,
            "core.synchrony.clamp": 5,
            "core.dale": False,
            "core.inhibition": False,
            "core.lateral.iterations": 0,
            "core.neuron-models.feedback": False,
        },
    ),
    "digits, softplus": Experiment(
        "digits", {"core.activation": "softplus", "core.norm": "rms_shared", "core.memory.enabled": False}, native=False
    ),
    "digits, resnet": Experiment("digits", {"backbone.kind": "resnet18", "train.mixed-precision": "bf16"}),
}
"""What is trained, by name. Names of presets and settings that change between two checkouts are changed here."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Compare the numbers of two checkouts."""

    old: Annotated[Path, tyro.conf.Positional]
    """Checkout of the project to compare with."""
    new: Annotated[Path, tyro.conf.Positional]
    """Checkout that is asked about."""
    presets: tuple[str, ...] = ()
    """Experiments to train (none given: all)."""
    keep: Path | None = None
    """Folder in which the runs are kept."""
    reuse: bool = False
    """Take the old checkout's runs that lie in --keep already."""
    timeout: float = 120.0
    """Most seconds of one run."""


class Run(NamedTuple):
    """A run's folder, and why it is not whole, if it is not."""

    folder: Path
    failure: str = ""


def draw_photos(folder: Path) -> None:
    """Draw three classes of photos of all shapes and kinds: colour, grey, transparent, lying on their side."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 5)):
        for number, label in enumerate(("ball", "box", "rod")):
            place = unfinished / part / label
            place.mkdir(parents=True)
            for index in range(count):
                coarse = generator.integers(0, 256, (6 + number, 9, 3), dtype=np.uint8)
                width, height = (int(side) for side in generator.integers(60, 140, 2))
                photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
                lying = Image.Exif()
                lying[0x0112] = 6 if index % 4 == 1 else 1
                photo = photo.convert(("RGB", "RGB", "L", "RGBA")[index % 4])
                name = place / f"{index:02}"
                if index % 4 == 3:
                    photo.save(name.with_suffix(".png"))
                else:
                    photo.save(name.with_suffix(".jpg"), quality=90, exif=lying)
    unfinished.rename(folder)


def option(name: str, value: Any) -> list[str]:
    """Return a setting as the command line takes it: switches as --core.dale or --core.no-dale."""
    if not isinstance(value, bool):
        return [f"--{name}", str(value)]
    section, _, switch = name.rpartition(".")
    return [f"--{name}" if value else f"--{section}.no-{switch}"]


def arguments_of(experiment: Experiment, photos: Path) -> list[str]:
    """Return what the command ``tide`` is given, without the folder of the run."""
    settings = {"train.steps": STEPS, **SMALL, **experiment.settings}
    options = [text for name, value in settings.items() for text in option(name, value)]
    data = ["--data", f"folder:{photos}"] if experiment.data == "photos" else []
    return ["train", experiment.preset, *data, *options, "--device", "cpu", "--threads", "1", "--workers", "0"]


def commit_of(checkout: Path) -> str:
    """Return the commit of a checkout, with a + where files were changed since; nothing where there is no git."""
    git = ["git", "-C", str(checkout)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=30, check=True)
        changed = [*git, "status", "--porcelain", "--", "tide"]
        status = subprocess.run(changed, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip() + "+" * bool(status.stdout.strip())


def train(checkout: Path, arguments: Sequence[str], loop: str, native: bool, run: Path, timeout: float) -> Run:
    """Train in a checkout; a run that fails says why in the last line that it printed."""
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    wish = "0" if loop == OFF else "require" if native else ""
    environment = os.environ | {"PYTHONPATH": str(checkout), "TIDE_NATIVE": wish, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", START, str(checkout), *arguments, "--out", str(run)]
    try:
        done = subprocess.run(
            command, cwd=run.parent, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return Run(run, f"not done after {timeout:g} s")
    if done.returncode:
        return Run(run, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Run(run)


def record(run: Path, arguments: Sequence[str], commit: str) -> dict[str, Any]:
    """Return what a run was made with, as it is kept beside its metrics."""
    data = os.environ.get("TIDE_DATA", "")
    return {"arguments": list(arguments), "commit": commit, "data": data, "folder": str(run), "python": sys.version}


def reusable(run: Path, wanted: Mapping[str, Any]) -> bool:
    """Say whether a kept run is whole and was made with what is wanted, at a commit."""
    try:
        kept = json.loads((run / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(kept == wanted and wanted["commit"] and not wanted["commit"].endswith("+"))


def difference(old: Run, new: Run) -> str:
    """Return "equal", or the first difference between two runs in a few words."""
    if old.failure or new.failure:
        return "; ".join(f"{name} failed: {run.failure}" for name, run in (("old", old), ("new", new)) if run.failure)
    for name in FILES:
        contents = [run.folder / name for run in (old, new)]
        missing = [str(path) for path in contents if not path.is_file()]
        if missing:
            return f"no {name} in " + " and ".join("old" if path == str(contents[0]) else "new" for path in missing)
        ours, theirs = (path.read_bytes() for path in contents)
        if ours != theirs:
            return first_line(ours.decode(), theirs.decode()) if name.endswith(".jsonl") else f"other {name}"
    return "equal"


def first_line(old: str, new: str) -> str:
    """Return the first line and key at which two files of JSON lines differ."""
    ours, theirs = old.splitlines(), new.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if a == b:
            continue
        first, second = json.loads(a), json.loads(b)
        place = f"line {number} ({first.get('kind')}, step {first.get('step')})"
        keys = [key for key in {**first, **second} if first.get(key, KeyError) != second.get(key, KeyError)]
        if not keys:
            return f"{place}: other order or spelling"
        values = " / ".join(str(line.get(keys[0], "none")) for line in (first, second))
        return f"{place}: {keys[0]} {values}" + f" and {len(keys) - 1} more" * (len(keys) > 1)
    return f"{len(ours)} / {len(theirs)} lines"


def compare(settings: Settings, names: Sequence[str], keep: Path) -> bool:
    """Train and print a row for each experiment; return whether all are equal."""
    checkouts = {"old": settings.old.resolve(), "new": settings.new.resolve()}
    commits = {name: commit_of(checkout) for name, checkout in checkouts.items()}
    seconds, equal = {"old": 0.0, "new": 0.0}, True
    draw_photos(keep / "photos")
    print("| preset | native off | native on |\n|---|---|---|", flush=True)
    for name in names:
        experiment, cells = EXPERIMENTS[name], []
        arguments = arguments_of(experiment, keep / "photos")
        for loop in (OFF, ON) if experiment.native else (OFF,):
            runs = {}
            for which, checkout in checkouts.items():
                run = keep / which / loop / name.replace(", ", "-").replace(" ", "-")
                wanted = record(run, arguments, commits[which])
                if which == "old" and settings.reuse and reusable(run, wanted):
                    runs[which] = Run(run)
                    continue
                began = time.monotonic()
                runs[which] = train(checkout, arguments, loop, experiment.native, run, settings.timeout)
                seconds[which] += time.monotonic() - began
                if not runs[which].failure:
                    (run / RECORD).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
            cells.append(difference(runs["old"], runs["new"]))
        equal &= all(cell == "equal" for cell in cells)
        print("| " + " | ".join([name, *(cell.replace("|", "/") for cell in cells), *["-"][len(cells) - 1 :]]) + " |")
        sys.stdout.flush()
    print(f"\nseconds of training: old {seconds['old']:.0f}, new {seconds['new']:.0f}; -: the model has no native loop")
    return equal


def available(names: Sequence[str]) -> list[str]:
    """Return the experiments whose data are here; name the others on standard error."""
    root = os.environ.get("TIDE_DATA")
    missing = {
        name: data
        for name in names
        if (data := EXPERIMENTS[name].data) not in ("", "photos") and not (root and (Path(root) / data).is_dir())
    }
    if missing:
        where = f"in {root}" if root else "and TIDE_DATA is not set"
        listing = ", ".join(f"{name} (no {data})" for name, data in missing.items())
        print(f"left out for want of data {where}: {listing}", file=sys.stderr)
    return [name for name in names if name not in missing]


def main() -> None:
    """Compare; exit code 1 where anything differs, 2 for bad input."""
    settings = tyro.cli(Settings, description=__doc__)
    for checkout in (settings.old, settings.new):
        if not (checkout / "tide").is_dir():
            print(f"{checkout} must be a checkout of the project, got one without a folder tide", file=sys.stderr)
            sys.exit(2)
    unknown = [name for name in settings.presets if name not in EXPERIMENTS]
    if unknown or (settings.reuse and settings.keep is None):
        why = f"unknown: {', '.join(unknown)}; known: {'; '.join(EXPERIMENTS)}" if unknown else "--reuse needs --keep"
        print(why, file=sys.stderr)
        sys.exit(2)
    names = available(settings.presets or tuple(EXPERIMENTS))
    with tempfile.TemporaryDirectory() as temporary:
        keep = (settings.keep or Path(temporary)).resolve()
        keep.mkdir(parents=True, exist_ok=True)
        equal = compare(settings, names, keep)
    sys.exit(0 if equal and names else 1)


if __name__ == "__main__":
    main()
