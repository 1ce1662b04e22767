"""Train on two hosts of one's own, cut the link, go on: ``python benchmarks/two_nodes.py --out FILE.json``.

Two network namespaces joined by a virtual cable stand for two machines that share a disk. Wants Linux, root and
iproute2; elsewhere it says so and does nothing. Three things are tried: thirty steps over both hosts equal those of one
process; where the cable is cut in the middle of a run, both hosts end within the time that ``docs/scaling.md`` states,
each with one line; ``--resume`` goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from reporting import save
from safetensors.torch import load_file

from tide.runs.folder import describe_environment
from tide.train.team import TIMEOUT

NODES = ("tide-node-0", "tide-node-1")
ADDRESSES = ("10.213.77.1", "10.213.77.2")  # inside the namespaces only
PORT = 29_577
TINY = {
    "backbone.width": 8,
    "backbone.branch-width": 4,
    "backbone.features": 16,
    "core.neurons": 30,
    "core.ticks": 3,
    "core.attention.width": 16,
    "core.attention.heads": 2,
    "core.synchrony.pairs-ee": 32,
    "core.synchrony.pairs-ei": 16,
    "core.synchrony.pairs-ii": 8,
    "core.head.dropout": 0,
    "train.batch": 8,
    "train.accumulation": 2,
    "train.checkpoint-every": 5,
    "train.log-every": 1,
}
TOLERANCE = 1e-5  # of weights in float32 after thirty steps: sums over processes are taken in another order


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train on two hosts."""

    out: Path | None = None
    """Write what was seen as JSON to this file."""


def missing() -> str | None:
    """Return what is missing to make hosts of one's own, None where nothing is."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "it must run as root"
    return None if shutil.which("ip") else "the command ip (iproute2) must be installed"


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True, timeout=20, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[None]:
    """Make two namespaces joined by a cable for the time of the block."""
    made: list[str] = []
    try:
        for node in NODES:
            ip("netns", "add", node)
            made.append(node)
        ip("link", "add", "cable", "netns", NODES[0], "type", "veth", "peer", "name", "cable", "netns", NODES[1])
        for node, address in zip(NODES, ADDRESSES, strict=True):
            ip("-n", node, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", node, "link", "set", "lo", "up")
            ip("-n", node, "link", "set", "cable", "up")
        yield
    finally:
        for node in made:
            ip("netns", "del", node)


def start(number: int, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start one host's share of a training."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    meeting = ["--rdzv-id", "tide", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:{PORT}"]
    # These hosts have addresses and no names: which of them keeps the meeting has to be said.
    meeting += ["--rdzv-conf", f"is_host={int(number == 0)}", "--local-addr", ADDRESSES[number]]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        return subprocess.Popen(
            ["ip", "netns", "exec", NODES[number], *torchrun, *meeting, "-m", "tide", "train", *arguments],
            stdout=file,
            stderr=file,
            env=environment,
        )


def on_both(arguments: list[str], folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start a training on both hosts."""
    return [start(number, arguments, folder / f"node-{number}.log") for number in range(2)]


def ended(processes: list[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    """Wait for all processes, at most so long; return their exit codes. What still runs then is killed."""
    deadline = time.monotonic() + seconds
    try:
        return [process.wait(timeout=max(0.1, deadline - time.monotonic())) for process in processes]
    finally:
        for process in processes:
            process.kill()


def wait_for_step(run: Path, step: int, seconds: float = 180) -> None:
    """Wait until a run has logged a step; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    log = run / "timing.jsonl"
    while not (log.is_file() and len(log.read_text(encoding="utf-8").splitlines()) >= step):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{run} did not reach step {step}")
        time.sleep(0.1)


def errors(folder: Path) -> list[list[str]]:
    """Return the lines in which each host said why it ended."""
    logs = [(folder / f"node-{number}.log").read_text(encoding="utf-8", errors="replace") for number in range(2)]
    return [[line for line in log.splitlines() if line.startswith("tide: error: ")] for log in logs]


def seconds_to_the_end(folder: Path, longest: float) -> list[float]:
    """Return after how many seconds each host said why it ended; raises TimeoutError where one says nothing."""
    began, found = time.monotonic(), dict[int, float]()
    while len(found) < len(NODES):
        passed = time.monotonic() - began
        found |= {number: passed for number, lines in enumerate(errors(folder)) if lines and number not in found}
        if passed > longest:
            raise TimeoutError(f"after {longest:.0f} s only hosts {sorted(found)} had ended")
        time.sleep(0.5)
    return [found[number] for number in range(len(NODES))]


def measure(folder: Path) -> dict[str, Any]:
    """Try all three and return what was seen."""
    one, two, cut = folder / "one", folder / "two", folder / "cut"
    tiny = [f"--{name}={value}" for name, value in TINY.items()]
    arguments = ["digits", *tiny, "--device", "cpu", "--threads", "1"]
    alone = [sys.executable, "-m", "tide", "train"]
    subprocess.run([*alone, *arguments, "--steps", "30", "--out", str(one)], check=True, timeout=600)
    codes = ended(on_both([*arguments, "--steps", "30", "--out", str(two)], folder), 600)
    assert codes == [0, 0], errors(folder)
    weights = [load_file(run / "last" / "model.safetensors") for run in (one, two)]
    difference = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    assert difference <= TOLERANCE, difference

    running = on_both([*arguments, "--steps", "100000", "--out", str(cut)], folder)
    wait_for_step(cut, 12)
    ip("-n", NODES[0], "link", "set", "cable", "down")
    stated = TIMEOUT.total_seconds()
    seconds = seconds_to_the_end(folder, stated + 60)
    said = errors(folder)
    # torchrun itself waits minutes more for the other host; the training has ended and said why.
    for process in running:
        process.kill()
        process.wait(timeout=20)
    assert all(len(lines) == 1 for lines in said), said

    ip("-n", NODES[0], "link", "set", "cable", "up")
    before = int(torch.load(cut / "last" / "training.pt", weights_only=True)["position"]["step"])
    running = on_both(["--resume", str(cut), "--device", "cpu", "--threads", "1"], folder)
    wait_for_step(cut, before + 10)
    for process in running:
        process.terminate()
    ended(running, 120)
    after = int(torch.load(cut / "last" / "training.pt", weights_only=True)["position"]["step"])
    assert after > before
    return {
        "steps": 30,
        "greatest_difference_of_weights": difference,
        "seconds_from_cut_to_the_end_of_each": seconds,
        "seconds_stated": stated,
        "said": said,
        "step_at_cut": before,
        "step_after_resuming": after,
        "environment": describe_environment(),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    lacking = missing()
    if lacking is not None:
        print(f"two_nodes: skipped: {lacking}, to make two hosts of one's own")
        return
    with tempfile.TemporaryDirectory() as name, two_hosts():
        result = measure(Path(name))
    print(json.dumps(result, indent=2))
    save("two_nodes", result, settings.out)


if __name__ == "__main__":
    main()
