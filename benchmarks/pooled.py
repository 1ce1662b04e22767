"""What a backbone learns alone: ``python benchmarks/pooled.py fashion-mnist --out results/hedging/pooled``.

The backbone of a task's preset with the mean of its tokens and one linear layer in the place of the core, trained by
the same procedure on the same batches: what a core has to be better than. With ``--reads attention`` its tokens are
read as a core's first tick reads them, and with ``--answers head pairs`` the answer is given by a core's head, and that
from the synchrony of pairs of rates: which of a core's parts costs what. Measured on held-out training images.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
import tyro
from reporting import end, save
from torch import Tensor, nn

from tide.config import CoreConfig
from tide.data import derive_seed, read_splits, to_float
from tide.device import set_threads
from tide.errors import InputError
from tide.evaluate.answers import evaluate
from tide.models.cell import Cell, Readout
from tide.models.heads import OutputHead
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.nn.attention import CrossAttention
from tide.nn.synchrony import Synchrony
from tide.runs.folder import describe_environment
from tide.train.feed import DROPOUT_STREAM, MemoryFeed
from tide.train.step import Trainer, make_optimizer
from tide.train.supervised import fit_to_data, resolved


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train a backbone alone."""

    task: Annotated[str, tyro.conf.Positional]
    out: Path
    """Path without extension."""
    reads: tuple[Literal["mean", "attention"], ...] = ("mean",)
    """What is read of the tokens: their mean, or attention with one learned query."""
    answers: tuple[Literal["linear", "head", "pairs"], ...] = ("linear",)
    """What answers: one linear layer, the core's head, or the head on the synchrony of rates that are read once."""
    steps: int = 1000
    seeds: tuple[int, ...] = (42, 43)
    batch: int = 64
    validation: float = 5000
    data_dir: Path | None = None
    threads: int | None = None


class Latent(NamedTuple):
    """What was read of an image, (B, d)."""

    latent: Tensor

    def detach(self) -> Latent:
        """Cut nothing: there is no earlier tick."""
        return self

    def rows(self, index: Tensor) -> Latent:
        """Keep the samples named by ``index``."""
        return Latent(self.latent[index])


class PairRates(nn.Module):
    """A layer of rates, and the latent state that reads the synchrony of their pairs: (B, d) → (B, 3 d_stream)."""

    def __init__(self, features: int, core: CoreConfig, seed: int) -> None:
        super().__init__()
        self.rates = nn.Linear(features, core.neurons)
        self.synchronisation = Synchrony(core, seed)

    def forward(self, read: Tensor) -> Tensor:
        """Read once."""
        rates = torch.relu(self.rates(read))
        _, latent = self.synchronisation.read(self.synchronisation.begin(rates))
        return latent


class PooledCell(Cell):
    """One tick without dynamics."""

    observables: ClassVar[Mapping[str, Any]] = {"latent": lambda state: state.latent}
    needed = ("latent",)
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"head": ("head",)}
    activity: ClassVar[Mapping[str, str]] = {}

    def __init__(self, features: int, classes: int, core: CoreConfig, *, read: str, answer: str, seed: int) -> None:
        super().__init__()
        latent, head, width = 3 * core.synchrony.width, core.head, features
        self.attention, self.synchrony = None, None
        if read == "attention":
            width = core.attention.width
            self.query = nn.Parameter(torch.randn(1, latent))
            self.attention = CrossAttention(latent, features, width, core.attention.heads)
        if answer == "pairs":
            self.synchrony, width = PairRates(width, core, seed), latent
        self.head = (
            nn.Linear(width, classes)
            if answer == "linear"
            else OutputHead(width, head.hidden, classes, head.dropout, head.norm_epsilon)
        )

    def begin(self, tokens: Tensor) -> Latent:
        """Read."""
        if self.attention is None:
            read = tokens.mean(1)
        else:
            read = self.attention(self.query.expand(len(tokens), -1), *self.attention.prepare(tokens)).output
        return Latent(read if self.synchrony is None else self.synchrony(read))

    def step(self, state: Latent) -> tuple[Latent, Latent]:
        """Do nothing more."""
        return state, state

    def readout(self, observed: Mapping[str, Tensor], carry: Any = None) -> Readout:
        """Return the logits."""
        logits = self.head(observed["latent"])
        return Readout(logits.transpose(1, 2) if isinstance(self.head, nn.Linear) else logits, {}, None)


def train(settings: Settings, read: str, answer: str, seed: int) -> dict[str, Any]:
    """Train one network with one seed and return the evaluation."""
    train = {"steps": settings.steps, "batch": settings.batch}
    config = preset(f"lstm.{settings.task}", seed=seed, core={"ticks": 1}, train=train)
    config = resolved(replace(config, data=replace(config.data, validation=settings.validation)))
    splits = read_splits(config, settings.data_dir)
    config = fit_to_data(config, splits)
    model = Thinker(config.model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        core = preset(settings.task).core
        assert isinstance(core, CoreConfig)
        features, classes = config.backbone.features, config.output.classes
        model.cell = PooledCell(features, classes, core, read=read, answer=answer, seed=seed)
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
                    f"{read}, {answer}, seed {seed}: step {step + 1}/{settings.steps}, {rate:.2f} steps/s, "
                    f"loss {result.terms.total:.3f}"
                )
    return {"read": read, "answer": answer, "seed": seed, **asdict(evaluate(model, splits.test))}


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    set_threads(settings.threads)
    try:
        runs = [train(settings, *each) for each in product(settings.reads, settings.answers, settings.seeds)]
    except InputError as error:
        end("pooled", error)
    told = {name: value for name, value in vars(settings).items() if name not in ("out", "data_dir")}
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    result = {**told, "runs": runs, "environment": describe_environment()}
    save("pooled", result, settings.out.with_suffix(".json"))
    for run in runs:
        name = f"{run['read']}, {run['answer']}, seed {run['seed']}"
        print(f"{name}: {100 * run['accuracy']:.2f} % of {run['images']} held-out images")


if __name__ == "__main__":
    main()
