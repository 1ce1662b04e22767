"""What a backbone learns alone: ``python benchmarks/pooled.py fashion-mnist --out results/hedging/pooled``.

The backbone of a task's preset with the mean of its tokens and one linear layer in the place of the core, trained by
the same procedure on the same batches: what a core has to be better than. Measured on held-out training images.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
import tyro
from reporting import end, save
from torch import Tensor, nn

from tide.data import derive_seed, read_splits, to_float
from tide.device import set_threads
from tide.errors import InputError
from tide.evaluate.accuracy import evaluate
from tide.models.cell import Cell, Readout
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.runs.environment import describe_environment
from tide.train.feed import DROPOUT_STREAM, MemoryFeed
from tide.train.optim import make_optimizer
from tide.train.prepare import fit_to_data, resolved
from tide.train.step import Trainer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train a backbone alone."""

    task: Annotated[str, tyro.conf.Positional]
    out: Path
    """Path without extension."""
    steps: int = 1000
    seeds: tuple[int, ...] = (42, 43)
    batch: int = 64
    validation: float = 5000
    data_dir: Path | None = None
    threads: int | None = None


class Mean(NamedTuple):
    """The mean of an image's tokens, (B, d_kv)."""

    tokens: Tensor

    def detach(self) -> Mean:
        """Cut nothing: there is no earlier tick."""
        return self

    def rows(self, index: Tensor) -> Mean:
        """Keep the samples named by ``index``."""
        return Mean(self.tokens[index])


class PooledCell(Cell):
    """One tick that reads the mean of the tokens."""

    observables: ClassVar[Mapping[str, Any]] = {"latent": lambda state: state.tokens}
    needed = ("latent",)
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"head": ("head",)}
    activity: ClassVar[Mapping[str, str]] = {}

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, classes)

    def begin(self, tokens: Tensor) -> Mean:
        """Pool."""
        return Mean(tokens.mean(1))

    def step(self, state: Mean) -> tuple[Mean, Mean]:
        """Do nothing more."""
        return state, state

    def readout(self, observed: Mapping[str, Tensor], carry: Any = None) -> Readout:
        """Return the logits."""
        return Readout(self.head(observed["latent"]).transpose(1, 2), {}, None)


def train(settings: Settings, seed: int) -> dict[str, Any]:
    """Train with one seed and return the evaluation."""
    train = {"steps": settings.steps, "batch": settings.batch}
    config = preset(f"lstm.{settings.task}", seed=seed, core={"ticks": 1}, train=train)
    config = resolved(replace(config, data=replace(config.data, validation=settings.validation)))
    splits = read_splits(config, settings.data_dir)
    config = fit_to_data(config, splits)
    model = Thinker(config.model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model.cell = PooledCell(config.backbone.features, config.output.classes)
        trainer = Trainer(model, make_optimizer(model, config.train), config)
        feed = MemoryFeed(splits.train, config, torch.device("cpu"))
        began = time.perf_counter()
        for step in range(settings.steps):
            torch.manual_seed(derive_seed(seed, DROPOUT_STREAM, step))
            images, labels = feed.take(step, 0)
            result = trainer.step(step, [(to_float(images), labels)])
            if step % 100 == 99:
                rate = (step + 1) / (time.perf_counter() - began)
                print(
                    f"seed {seed}: step {step + 1}/{settings.steps}, {rate:.2f} steps/s, loss {result.terms.total:.3f}"
                )
    return {"seed": seed, **asdict(evaluate(model, splits.test))}


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    set_threads(settings.threads)
    try:
        runs = [train(settings, seed) for seed in settings.seeds]
    except InputError as error:
        end("pooled", error)
    told = {name: value for name, value in vars(settings).items() if name not in ("out", "data_dir")}
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    result = {**told, "runs": runs, "environment": describe_environment()}
    save("pooled", result, settings.out.with_suffix(".json"))
    for run in runs:
        print(f"seed {run['seed']}: {100 * run['accuracy']:.2f} % of {run['images']} held-out images")


if __name__ == "__main__":
    main()
