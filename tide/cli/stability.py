"""``tide stability``: what can be proved, and what was measured, of a run's stability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tide.cli.options import DataDir, Threads
from tide.cli.parse import parse
from tide.device import set_threads
from tide.errors import InputError
from tide.files import check_folder, writing

if TYPE_CHECKING:
    from tide.models.thinker import Thinker


@dataclass(frozen=True, kw_only=True)
class StabilityOptions(DataDir, Threads):
    """Options of the analysis."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    out: Path | None = None
    """Folder of the report (none: RUN/stability)."""
    images: int = 8
    """Test images whose states are analysed."""
    checkpoint: Literal["best", "last"] = "last"
    """Which checkpoint of the run to read."""
    verify: bool = False
    """Only check the certificate that an earlier analysis stored, against the weights of the run."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(
        StabilityOptions,
        arguments,
        prog="tide stability",
        description="What can be proved, and what was measured, of a run's stability: a report with a certificate.",
    )
    if options.images < 1:
        raise InputError(f"--images must be at least 1, got {options.images}")
    set_threads(options.threads)
    out = options.out or (options.run / "stability" if options.run.is_dir() else Path("stability"))
    if options.verify:
        return _verify(options, out)
    from tide.studies.publish import command_line

    check_folder("--out", out)
    return _analyse(options, out, command_line("stability", arguments))


def _analyse(options: StabilityOptions, out: Path, command: str) -> int:
    from rich.console import Console
    from safetensors.torch import save

    from tide.analysis.stability import analyse, markdown
    from tide.data import to_float
    from tide.models.saved import local
    from tide.plots.training import draw_stability
    from tide.runs import reopen
    from tide.runs.folder import RunFolder, describe_environment
    from tide.studies.publish import save_study

    # Weights that come with the library have no readings over their training.
    readings = [] if local(options.run) != options.run else RunFolder.open(options.run).metrics("monitor")
    model, data = reopen(options.run, checkpoint=options.checkpoint, data_dir=options.data_dir)
    images = to_float(data.test.select(slice(options.images)).images)
    with Console(stderr=True).status("analysing") as status:
        result, certificate = analyse(model, images, progress=lambda what: status.update(f"analysing: {what}"))
    # Named by how they came about, so that another machine can do the same.
    result |= {"run": options.run.name, "data": data.name, "checkpoint": options.checkpoint}
    result["environment"] = {**describe_environment(), "command": command}
    text = markdown(result, options.run.name)
    title = f"{options.run.name}, {data.name}"
    save_study(out, "stability", result, text, {"stability.png": lambda: draw_stability(result, readings, title)})
    proof = {name: part for name in ("p", "witness") if (part := getattr(certificate, name)) is not None}
    with writing(out):
        (out / "certificate.safetensors").write_bytes(save({name: t.contiguous() for name, t in proof.items()}))
    print(text, end="")
    print(f"\n{out}: stability.json, stability.md, stability.png, certificate.safetensors")
    return 0


def _verify(options: StabilityOptions, out: Path) -> int:
    """Check a stored certificate against the weights; 0 when it holds, 2 with one line when it does not."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from tide.analysis.lyapunov import Certificate, verify
    from tide.analysis.states import tide_cell
    from tide.models.load import load

    try:
        answer = json.loads((out / "stability.json").read_text(encoding="utf-8"))["lds"]
        proof = load_file(out / "certificate.safetensors")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{out} holds no whole analysis ({error}); make one: tide stability {options.run}") from error
    model: Thinker = load(options.run, checkpoint=options.checkpoint)
    certificate = Certificate(
        answer["answer"], answer["margin"], answer["reason"], p=proof.get("p"), witness=proof.get("witness")
    )
    if answer["answer"] == "unknown":
        print(f"{out}: the answer is unknown; it claims nothing")
        return 0
    if not verify(tide_cell(model).blocks().effective(), certificate):
        raise InputError(
            f"the certificate in {out} does not prove {answer['answer']!r} for the weights of {options.run}: they, or "
            "the file, changed since; analyse again"
        )
    print(f"{out}: the certificate proves {answer['answer']!r} ({answer['reason']})")
    return 0
