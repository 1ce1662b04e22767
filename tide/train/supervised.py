"""Supervised learning as the task of a run: batches, steps, evaluations; and settings fitted to the data."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from tide.config import (
    Config,
    DataSettings,
    DrawnConfig,
    FolderConfig,
    HubConfig,
    ImageConfig,
    OutputConfig,
    data_config,
)
from tide.data import Decoding, ImageSet, Splits, check_task, derive_seed, statistics, to_float
from tide.data.hub import absolute_place
from tide.errors import CheckpointError, ConfigError, DataError
from tide.evaluate.answers import Answers, Evaluation, collect_answers, summarize
from tide.evaluate.thinking import SAMPLES, first_samples, thinking_on
from tide.files import finite
from tide.models.presets import INPUTS, OUTPUTS
from tide.models.thinker import Thinker
from tide.runs.folder import RunFolder
from tide.train.feed import DROPOUT_STREAM, Feed, make_feed
from tide.train.monitor import StabilityMonitor
from tide.train.report import Reporter, StepSummary
from tide.train.run import Cadence, Evaluated, Run, Task
from tide.train.step import GameMultipliers, StepResult, Trainer, idle_terms, make_optimizer, resolve, restore_optimizer
from tide.train.team import ALONE, Team

Batch = tuple[Tensor, Tensor]
Fingerprint = dict[str, dict[str, int]]
"""Of each part of the data, the number of its images and their checksum."""


class Supervised(Task):
    """A model that learns the answers to labelled inputs."""

    def __init__(
        self,
        config: Config,
        splits: Splits,
        *,
        device: torch.device | None = None,
        compile_step: bool = False,
        team: Team = ALONE,
        workers: int = 0,
        on_unreadable: Callable[[str], None] = lambda what: None,
    ) -> None:
        """``config`` must be resolved and fit ``splits``; ``workers`` processes decode streamed photos.

        Raises :class:`~tide.errors.ConfigError` where the micro-batches cannot be shared out evenly, and
        :class:`~tide.errors.DataError` where the processes of the team see different data.
        """
        train = config.train
        self.config, self.team = config, team
        self.cadence = Cadence(
            steps=train.steps,
            log=train.log_every,
            monitor=train.monitor_every,
            evaluate=train.eval_every,
            checkpoint=train.checkpoint_every,
            probe=train.probe_every,
            max_rejections=train.max_rejections,
        )
        self._mine = team.share(train.accumulation, "train.accumulation")
        parts = {"training": splits.train, config.data.measured_on: splits.test}
        self._fingerprint = {name: {"images": len(part), "checksum": part.checksum()} for name, part in parts.items()}
        _check_same_data(self._fingerprint, team)
        self.device = device or torch.device("cpu")
        limit = getattr(config.data, "unreadable_limit", 0)  # of photos; other data are read when they are loaded
        decoding = Decoding(workers=workers, limit=limit, on_unreadable=on_unreadable)
        training, self.test = splits.train.decoded_with(decoding), splits.test.decoded_with(decoding)
        self.feed: Feed = make_feed(training, config, self.device, self._mine)
        self.model = Thinker(config.model).to(self.device)
        self.optimizer = make_optimizer(self.model, train)
        self.trainer = Trainer(self.model, self.optimizer, config, team)
        self._monitor = StabilityMonitor(self.model, config.loss.perron_iterations)
        self._perron: tuple[float | None, float | None] = (None, None)
        self._data_crc = 0  # a running checksum of the order of all images so far
        self._result: StepResult | None = None
        if compile_step:
            self.model.compile_step()

    @property
    def result(self) -> StepResult:
        """What the last step did."""
        assert self._result is not None
        return self._result

    @property
    def shown(self) -> Thinker:
        """The average of the weights, where there is one."""
        average = self.trainer.average
        return cast(Thinker, average.module) if average is not None else self.model

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield this process's micro-batches of a step, of which all together depend on the seed and the step alone."""
        for micro in range(self.config.train.accumulation):
            index = self.feed.order(step, micro)
            self._data_crc = zlib.crc32(index.numpy().tobytes(), self._data_crc)
            if micro not in self._mine:
                continue
            self._seed(step, micro)
            images, labels = self.feed.take(step, micro)
            yield to_float(images), labels

    def _seed(self, step: int, micro: int, segment: int = 0) -> None:
        """Dropout of a micro-batch does not depend on which process computes it."""
        numbers = (micro, segment) if segment else (micro,) if micro else ()
        torch.manual_seed(derive_seed(self.config.seed, DROPOUT_STREAM, step, *numbers))

    def step(self, number: int) -> bool:
        """One optimiser step, and some more on the same images where the model is to think on."""
        kept: list[Batch] = []
        self._result = self.trainer.step(number, self._keeping(self.batches(number), kept))
        for segment in range(1, self.config.train.segments):
            if self._result.accepted:
                self._result = self.trainer.step(number, self._again(number, segment, kept), self._result.ends)
        return self._result.accepted

    def _keeping(self, batches: Iterator[Batch], kept: list[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if self.config.train.segments > 1:
                kept.append(batch)
            yield batch

    def _again(self, number: int, segment: int, kept: list[Batch]) -> Iterator[Batch]:
        for micro, batch in zip(self._mine, kept, strict=True):
            self._seed(number, micro, segment)
            yield batch

    def loss(self) -> float:
        """The total of all terms."""
        return float(self.result.terms.total)

    def readings(self, rejected: int) -> dict[str, Any]:
        """Terms of the loss, accuracy, E-I ratio and what the optimiser did."""
        result = self.result
        line: dict[str, Any] = {
            **self._terms(),
            "accuracy": float(result.accuracy),
            "ei_ratio": self._ratio(),
            "gradient_norm": float(result.gradient_norm),
            "learning_rate": result.learning_rate,
            "curriculum": result.curriculum,
            "rejected": rejected,
            "data_crc": self._data_crc,
        }
        if self.trainer.multipliers is not None:
            line |= self.trainer.multipliers.as_penalty()._asdict()
        return line

    def summary(self, step: int, rate: float, rejected: int) -> StepSummary:
        """The same in short, with the last Perron estimates."""
        accuracy = float(self.result.accuracy)
        return StepSummary(step, rate, self._terms(), accuracy, self._ratio(), *self._perron, rejected)

    def _terms(self) -> dict[str, float]:
        terms = self.result.terms
        return {"total": float(terms.total)} | {name: float(value) for name, value in terms.terms.items()}

    def _ratio(self) -> float | None:
        ratios = self.result.last.out.ei_ratio
        return float(ratios.detach().mean()) if ratios is not None else None

    def monitor(self) -> tuple[dict[str, Any], list[str]]:
        """Read the network's stability from the last micro-batch."""
        quantities, alarms = self._monitor.read(self.result.last)
        self._perron = quantities.get("perron_ee"), quantities.get("perron_ii")
        return quantities, alarms

    def probe(self) -> dict[str, Any]:
        """Evaluate on the first test images only: the learning curve, finer than whole evaluations can afford."""
        return summarize(self._answers(self.config.train.probe_images)).readings()

    def evaluate(self, progress: Callable[[int, int], None]) -> Evaluated:
        """Evaluate on the whole test or validation split."""
        answers = self._answers(len(self.test), progress)
        result = summarize(answers)
        readings = result.readings()
        if len(self.test) > 1:
            thinking = thinking_on(self.shown, first_samples(self.test, SAMPLES, self.device))
            readings["thinking"] = finite(
                {name: value for name, value in asdict(thinking).items() if value is not None}
            )
        return Evaluated(result.accuracy, readings, _sentence(self.config.data.measured_on, result), answers)

    def _answers(self, count: int, progress: Callable[[int, int], None] | None = None) -> Answers:
        """Return the answers to the first test images, of which each process asks its share, every image once."""
        mine = torch.arange(self.team.rank, min(count, len(self.test)), self.team.world)
        answers = None  # of a process beyond the number of images
        if len(mine) > 0:
            batch = self.config.train.eval_batch
            answers = collect_answers(self.shown, self.test, batch=batch, positions=mine, progress=progress)
        return Answers.merge([some for some in self.team.gather(answers) if some is not None])

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, monitor, scaler, clipping history, multipliers, and which data they have seen."""
        state: dict[str, Any] = {
            "optimizer": self.optimizer.state_dict(),
            "monitor": self._monitor.state_dict(),
            "data": self._fingerprint,
            "data_crc": self._data_crc,
            "scaler": self.trainer.scaler.state_dict(),
        }
        if self.config.train.clip.quantile is not None:
            state["norms"] = self.trainer.norms.state_dict()
        if self.trainer.multipliers is not None:
            state["multipliers"] = self.trainer.multipliers.state_dict()
        if self.trainer.average is not None:
            state["weights"], state["averaged"] = self.model.state_dict(), int(self.trainer.average.n_averaged)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; raises :class:`CheckpointError` for other data."""
        self._check_fingerprint(state.get("data"))
        restore_optimizer(self.optimizer, state["optimizer"])
        self._monitor.load_state_dict(state["monitor"])
        position = state["position"]  # the version before kept the checksum there
        self._data_crc = int(state["data_crc"] if "data_crc" in state else position["data_crc"])
        if self.trainer.scaler.is_enabled():
            self.trainer.scaler.load_state_dict(state["scaler"])
        if self.config.train.clip.quantile is not None:
            self.trainer.norms.load_state_dict(state["norms"])
        if self.trainer.multipliers is not None:
            self.trainer.multipliers = GameMultipliers.from_state_dict(state["multipliers"])
        if self.trainer.average is not None:
            self.model.load_state_dict(state["weights"])
            self.trainer.average.n_averaged.fill_(int(state["averaged"]))

    def _check_fingerprint(self, seen: Any) -> None:
        """Raise :class:`CheckpointError` unless the data are those of the checkpoint."""
        if not isinstance(seen, Mapping):
            return
        for part, now in self._fingerprint.items():
            before = seen.get(part)
            if before == now:
                continue
            counts = [value.get("images") if isinstance(value, Mapping) else None for value in (before, now)]
            what = "other names, sizes or labels" if counts[0] == counts[1] else f"{counts[1]} images"
            raise CheckpointError(
                f"the {part} part of {self.config.data.title} must be as the run saw it ({counts[0]} images), it has "
                f"{what} now; restore it, or start a new run with --out"
            )

    def results(self) -> dict[str, Any]:
        """On which images accuracies are."""
        return {"measured_on": self.config.data.measured_on}

    def warnings(self) -> list[str]:
        """Terms of the loss that never count; how little few images say of which checkpoint is the best."""
        train, few, held = self.config.train, len(self.test), self.config.data.measured_on
        worth = f"{few} {held} images choose the best checkpoint: one of them is worth {100 / few:.2g} points"
        return [worth] * (few < FEW) + [
            f"the {term} loss has a weight but never counts: the curriculum starts at step {train.curriculum_start} of "
            f"{train.steps}; lower train.curriculum_start"
            for term in idle_terms(train, self.config.loss)
        ]

    def close(self) -> None:
        """End the processes that decode."""
        self.feed.close()


FEW = 100  # images: one more that is right is a point


def supervised_run(
    config: Config, splits: Splits, folder: RunFolder, reporter: Reporter, *, team: Team = ALONE, **options: Any
) -> Run[Supervised]:
    """Return a run that learns ``splits`` in ``folder``; ``options`` as :class:`Supervised` takes them."""

    def left_out(what: str) -> None:
        reporter.message(f"left out: {what}", alarm=True)

    task = Supervised(config, splits, team=team, on_unreadable=left_out, **options)
    return Run(task, folder, reporter, team=team)


def _check_same_data(fingerprint: Fingerprint, team: Team) -> None:
    """Raise :class:`DataError` unless all processes hold the same images."""
    for rank, other in enumerate(team.gather(fingerprint)):
        if other != fingerprint:
            raise DataError(
                f"all processes must read the same data, process {rank} reads other data than process {team.rank}; "
                "give all machines the same --data-dir contents"
            )


def _sentence(measured_on: str, result: Evaluation) -> str:
    ratio = f", E-I ratio {result.ei_ratio:.2f}" if result.ei_ratio is not None else ""
    whole = f" ({100 * result.whole_accuracy:.2f} % whole)" if result.whole_accuracy is not None else ""
    return (
        f"{measured_on} accuracy {100 * result.accuracy:.2f} %{whole} at the most certain tick, "
        f"{100 * result.accuracy_last_tick:.2f} % at the last, hedging {100 * result.hedging:.2f} points, "
        f"certainty {result.certainty:.3f}{ratio}"
    )


def with_data(config: Config, name: str) -> Config:
    """Return ``config`` for another data set; a named one brings its shape and pixel statistics with it, photos none.

    What both kinds of data have stays: augmentation, held-out images. Raises :class:`ConfigError` for an unknown name.
    """
    data = _absolute(data_config(name, config.data))
    if isinstance(data, DrawnConfig):
        check_task(data.name)
    settings, output = INPUTS.get(name, config.input), OUTPUTS.get(name, config.output)
    if isinstance(data, FolderConfig | HubConfig) and isinstance(settings, ImageConfig):
        settings, output = replace(settings, mean=None, std=None), replace(output, labels=())
    return replace(config, data=data, input=settings, output=output)


def fit_to_data(config: Config, splits: Splits) -> Config:
    """Return ``config`` with class names (and for photos, their number and pixel statistics) of its data.

    Pixel statistics that the settings have stay: they were given, or belong to a run that goes on. A data set of the
    hub is named with its commit, so that the run goes on with the same version. Raises :class:`ConfigError` when the
    data's shape, or names of classes that are given, are not those that the settings name.
    """
    labels, settings, output = splits.train.classes, config.input, config.output
    if not isinstance(settings, ImageConfig) or isinstance(config.data, DrawnConfig):
        return config
    if isinstance(config.data, FolderConfig | HubConfig):
        if output.labels not in ((), labels):
            raise ConfigError(
                f"output.labels must be the classes of {splits.name}, {', '.join(labels)}, got "
                f"{', '.join(output.labels)}; leave them out, or rename the folders"
            )
        output = OutputConfig(classes=len(labels))
        settings = _with_statistics(settings, splits)
        config = replace(config, data=replace(config.data, name=data_config(splits.name).name))
    expected = (settings.channels, settings.size, output.classes)
    actual = (*splits.train.shape[:2], len(labels))
    if expected != actual:
        raise ConfigError(
            f"{splits.name} must have {expected[0]} channels, {expected[1]} pixels and {expected[2]} classes as in the "
            f"settings, got {actual[0]}, {actual[1]} and {actual[2]}; use --data, which sets them"
        )
    return replace(config, input=settings, output=replace(output, labels=labels))


def _with_statistics(settings: ImageConfig, splits: Splits) -> ImageConfig:
    """Return the settings with a mean and a standard deviation: those given, else of photos in memory their own."""
    mean, std = settings.statistics
    if isinstance(splits.train, ImageSet) and None in (settings.mean, settings.std):
        measured, deviations = statistics(splits.train.images)
        constant = [number for number, deviation in enumerate(deviations) if deviation == 0]
        if constant and settings.std is None:
            warnings.warn(
                f"{splits.name}: channel {constant[0]} is the same in every image; its input.std is 1", stacklevel=2
            )
        mean, std = settings.mean or measured, settings.std or tuple(value or 1.0 for value in deviations)
    return replace(settings, mean=mean, std=std)


def resolved(config: Config) -> Config:
    """Return ``config`` with its schedule filled in, and with a path of its photos that means the same anywhere."""
    return replace(config, train=resolve(config.train), data=_absolute(config.data))


def _absolute(data: DataSettings) -> DataSettings:
    if isinstance(data, HubConfig):
        return replace(data, name=absolute_place(data.name))
    if isinstance(data, FolderConfig):
        return replace(data, name=str(Path(data.name).expanduser().resolve()))
    return data
