"""What an update of ``tide.nn.EIRNN`` costs beside ``nn.RNN`` and a plain loop: ``python benchmarks/ei_rnn.py``.

Forward and backward pass of 100 steps of 16 series, in turn in one run, medians. The plain loop is the one that people
write for the same equation: one linear map for the input and one for the rates at every step, by autograd.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from reporting import save
from torch import Tensor, nn

from tide.nn import EIRNN
from tide.runs.folder import describe_environment
from tide.train.step import alternate


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Time an update."""

    sizes: tuple[int, ...] = (50, 256)
    """Neurons."""
    steps: int = 100
    """Time steps."""
    batch: int = 16
    """Series."""
    rounds: int = 30
    """Rounds, in which all take their turn."""
    threads: int = 1
    out: Path | None = None
    """Write the numbers as JSON to this file."""


class PlainLoop(nn.Module):
    """Rates under Dale's principle by magnitudes, step by step: r ← (1 − α) r + α ReLU(|W| D r + U x + b + noise)."""

    def __init__(self, inputs: int, neurons: int) -> None:
        super().__init__()
        self.input, self.recurrent = nn.Linear(inputs, neurons), nn.Linear(neurons, neurons)
        signs = torch.ones(neurons)
        signs[round(0.8 * neurons) :] = -1
        self.register_buffer("mask", (1 - torch.eye(neurons)) * signs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return rates (L, B, H) of inputs (L, B, n)."""
        alpha, noise = 0.2, 0.15
        h = rates = x.new_zeros(x.shape[1], len(self.recurrent.bias))
        outputs = []
        for seen in x:
            weight = self.recurrent.weight.abs() * self.mask
            total = self.input(seen) + nn.functional.linear(rates, weight, self.recurrent.bias)
            h = h * (1 - alpha) + alpha * total + (2 * alpha * noise**2) ** 0.5 * torch.randn_like(h)
            rates = torch.relu(h)
            outputs.append(rates)
        return torch.stack(outputs), rates


def measure(settings: Settings) -> dict[str, Any]:
    """Return median milliseconds of each layer by size, and the ratios over ``nn.RNN`` and of the plain loop."""
    rows = {}
    for size in settings.sizes:
        x = torch.randn(settings.steps, settings.batch, 3)
        layers = {
            "EIRNN, rates": EIRNN(3, size, noise=0.15),
            "EIRNN, currents": EIRNN(3, size, noise=0.15, dynamics="currents"),
            "nn.RNN": nn.RNN(3, size),
            "nn.LSTM": nn.LSTM(3, size),
            "plain loop": PlainLoop(3, size),
        }

        def update(layer: nn.Module, x: Tensor = x) -> None:
            layer.zero_grad(set_to_none=True)
            layer(x)[0].square().mean().backward()

        functions = [lambda layer=layer: update(layer) for layer in layers.values()]
        seconds = alternate(functions, settings.rounds, torch.device("cpu"), warmup=3)
        medians = {name: 1e3 * statistics.median(times) for name, times in zip(layers, seconds, strict=True)}
        ours = medians["EIRNN, rates"]
        rows[str(size)] = {
            "milliseconds": medians,
            "over nn.RNN": ours / medians["nn.RNN"],
            "plain loop over ours": medians["plain loop"] / ours,
        }
    return rows


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(settings.threads)
    rows = measure(settings)
    for size, row in rows.items():
        print(f"{size} neurons, {settings.steps} steps of {settings.batch} series, forward and backward:")
        for name, milliseconds in row["milliseconds"].items():
            print(f"  {name:<16} {milliseconds:7.2f} ms")
        over, plain = row["over nn.RNN"], row["plain loop over ours"]
        print(f"  over nn.RNN {over:.2f}; the plain loop takes {plain:.2f} times as long")
    save("ei_rnn", {"sizes": rows, "environment": describe_environment()}, settings.out)


if __name__ == "__main__":
    main()
