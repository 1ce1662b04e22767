"""The training loop of one run on one device: steps, readings, evaluations, checkpoints, stopping, resuming."""

from __future__ import annotations

import signal
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from tide.config import Config
from tide.data import Decoding, Splits, derive_seed, to_float
from tide.errors import CheckpointError, DataError, TrainingError, one_line
from tide.evaluate.answers import Answers, collect_answers, summarize
from tide.models.saved import existing, load_weights, read_model
from tide.models.thinker import Thinker
from tide.runs.folder import LOGS, RunFolder
from tide.train.checkpoint import load_training, save_checkpoint
from tide.train.feed import DROPOUT_STREAM, Feed, make_feed
from tide.train.monitor import StabilityMonitor
from tide.train.position import Position
from tide.train.report import Reading, Reporter
from tide.train.signals import StopRequest
from tide.train.step import GameMultipliers, StepResult, Trainer, idle_terms, make_optimizer, restore_optimizer
from tide.train.team import ALONE, Team

RECENT = 100  # steps over which the rate shown is taken: a machine is not always as busy as it was
Fingerprint = dict[str, dict[str, int]]
"""Of each part of the data, the number of its images and their checksum."""


def _check_same_data(fingerprint: Fingerprint, team: Team) -> None:
    """Raise :class:`DataError` unless all processes hold the same images."""
    for rank, other in enumerate(team.gather(fingerprint)):
        if other != fingerprint:
            raise DataError(
                f"process {rank} reads other data than process {team.rank}, the same is wanted: give all machines the "
                "same --data-dir contents"
            )


class _Stopped(Exception):
    """Raised inside an evaluation when a stop was asked for."""


class TrainingRun:
    """A run in progress: everything between a configuration and its results."""

    def __init__(
        self,
        config: Config,
        splits: Splits,
        run: RunFolder,
        reporter: Reporter,
        *,
        device: torch.device | None = None,
        compile_step: bool = False,
        team: Team = ALONE,
        workers: int = 0,
    ) -> None:
        """``config`` must be resolved and fit ``splits``; ``run`` is new or holds a checkpoint to continue.

        ``workers`` processes decode streamed photos.

        Raises :class:`~tide.errors.ConfigError` where the micro-batches cannot be shared out evenly, and
        :class:`~tide.errors.DataError` where the processes of the team see different data.
        """
        self.config, self.run, self.reporter, self.team = config, run, reporter, team
        self._mine = team.share(config.train.accumulation, "train.accumulation")
        parts = {"training": splits.train, config.data.measured_on: splits.test}
        self._fingerprint = {name: {"images": len(part), "checksum": part.checksum()} for name, part in parts.items()}
        _check_same_data(self._fingerprint, team)
        self.device = device or torch.device("cpu")
        limit = getattr(config.data, "unreadable_limit", 0)  # of photos; other data are read when they are loaded
        decoding = Decoding(workers=workers, limit=limit, on_unreadable=self._unreadable)
        train, self.test = splits.train.decoded_with(decoding), splits.test.decoded_with(decoding)
        self.feed: Feed = make_feed(train, config, self.device, self._mine)
        self.model = Thinker(config.model).to(self.device)
        self.optimizer = make_optimizer(self.model, config.train)
        self.trainer = Trainer(self.model, self.optimizer, config, team)
        self.monitor = StabilityMonitor(self.model, config.loss.perron_iterations)
        self.position = Position()
        self._perron: tuple[float | None, float | None] = (None, None)
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds of each step
        if compile_step:
            self.model.compile_step()

    def resume(self) -> None:
        """Continue from the run's last checkpoint, bit for bit; a run that ended before its first begins anew.

        Raises :class:`CheckpointError` for a checkpoint that is damaged or of another run, and for other data than the
        run has seen.
        """
        folder = existing(self.run.last)
        if folder is None:
            self.run.truncate(dict.fromkeys(LOGS, 0))
            return
        _, weights = read_model(folder)
        load_weights(self.model, weights, folder)
        training = load_training(folder)
        self._check_fingerprint(training.get("data"))
        try:
            restore_optimizer(self.optimizer, training["optimizer"])
            self.monitor.load_state_dict(training["monitor"])
            self.position = Position.restored(training["position"], self.config.train.steps)
            sizes = training["log_sizes"]
            if self.trainer.scaler.is_enabled():
                self.trainer.scaler.load_state_dict(training["scaler"])
            if self.config.train.clip.quantile is not None:
                self.trainer.norms.load_state_dict(training["norms"])
            if self.trainer.multipliers is not None:
                self.trainer.multipliers = GameMultipliers.from_state_dict(training["multipliers"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder} holds the training state of another model or version ({one_line(error)}); it was changed by "
                "hand"
            ) from error
        self.run.truncate(sizes)

    def _check_fingerprint(self, seen: Any) -> None:
        """Raise :class:`CheckpointError` unless the data are those of the checkpoint; older ones did not note them."""
        if not isinstance(seen, Mapping):
            return
        for part, now in self._fingerprint.items():
            before = seen.get(part)
            if before == now:
                continue
            counts = [value.get("images") if isinstance(value, Mapping) else None for value in (before, now)]
            what = "other names, sizes or labels" if counts[0] == counts[1] else f"{counts[1]} images"
            raise CheckpointError(
                f"the {part} part of {self.config.data.title} has {what} now, the run saw {counts[0]} images: restore "
                "them, or start a new run with --out"
            )

    def batches(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's micro-batches of a step, of which all together depend on the seed and the step alone."""
        for micro in range(self.config.train.accumulation):
            index = self.feed.order(step, micro)
            self.position.data_crc = zlib.crc32(index.numpy().tobytes(), self.position.data_crc)
            if micro not in self._mine:
                continue
            # Dropout of a micro-batch does not depend on which process computes it.
            torch.manual_seed(derive_seed(self.config.seed, DROPOUT_STREAM, step, *([micro] if micro else [])))
            images, labels = self.feed.take(step, micro)
            yield to_float(images), labels

    def fit(self) -> signal.Signals | None:
        """Train to the last step; return the signal that stopped the run early, or None when it is complete.

        Raises :class:`TrainingError` after too many rejected steps in a row and
        :class:`~tide.errors.CheckpointError` when the run folder cannot be written.
        """
        train = self.config.train
        for term in idle_terms(train, self.config.loss):
            self.reporter.message(
                f"warning: the {term} loss has a weight but never counts: the curriculum starts at step "
                f"{train.curriculum_start} of {train.steps}; lower train.curriculum_start",
                alarm=True,
            )
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), StopRequest() as stop, closing(self.feed):
            if self.position.step == 0:
                self._checkpoint()  # a run killed before its first regular checkpoint can be resumed too
            try:
                if self._due(train.eval_every) and self.position.evaluated_step < self.position.step:
                    self._evaluate(stop)  # the run was stopped in the middle of this evaluation
                while self.position.step < train.steps and not self.team.any(stop.received is not None):
                    self._advance(stop)
            except _Stopped:
                pass
            stopped = next((signal for signal in self.team.gather(stop.received) if signal is not None), None)
            if stopped is not None:
                self._checkpoint()
        self._write_results()
        return stopped

    def _advance(self, stop: StopRequest) -> None:
        train, position = self.config.train, self.position
        began = time.perf_counter()
        result = self.trainer.step(position.step, self.batches(position.step))
        position.step += 1
        seconds = time.perf_counter() - began
        position.seconds += seconds
        self._recent.append(seconds)
        self._count_rejection(result)
        if position.step == 1 or self._due(train.monitor_every):
            self._monitor(result)
        if position.step == 1 or self._due(train.log_every):
            self._log(result)
        if train.probe_every and position.step % train.probe_every == 0:
            self._probe()
        if self._due(train.eval_every):
            self._evaluate(stop)
        if self._due(train.checkpoint_every):
            self._checkpoint()

    def _due(self, every: int) -> bool:
        """Say whether something that happens every so many steps, and at the last, is due now."""
        step = self.position.step
        return step > 0 and (step % every == 0 or step == self.config.train.steps)

    def _count_rejection(self, result: StepResult) -> None:
        position, limit = self.position, self.config.train.max_rejections
        if result.accepted:
            position.rejected_in_a_row = 0
            return
        position.rejected += 1
        position.rejected_in_a_row += 1
        self.run.append("metrics", {"kind": "rejection", "step": position.step, "loss": float(result.terms.total)})
        self.reporter.message(f"step {position.step} rejected: loss or gradient not finite; nothing moved", alarm=True)
        if position.rejected_in_a_row >= limit:
            raise TrainingError(
                f"{limit} steps in a row had a loss or gradient that is not finite, up to step {position.step}; "
                f"lower train.learning_rate or train.clip.total; the last good checkpoint is in {self.run.path}"
            )

    def _log(self, result: StepResult) -> None:
        position, recent = self.position, self._recent
        terms = {"total": float(result.terms.total)}
        terms |= {name: float(value) for name, value in result.terms.terms.items()}
        ratios, accuracy = result.last.out.ei_ratio, float(result.accuracy)
        ratio = float(ratios.detach().mean()) if ratios is not None else None
        line: dict[str, Any] = {
            "kind": "train",
            "step": position.step,
            **terms,
            "accuracy": accuracy,
            "ei_ratio": ratio,
            "gradient_norm": float(result.gradient_norm),
            "learning_rate": result.learning_rate,
            "curriculum": result.curriculum,
            "rejected": position.rejected,
            "data_crc": position.data_crc,
        }
        if self.trainer.multipliers is not None:
            line |= self.trainer.multipliers.penalty_now()._asdict()
        self.run.append("metrics", line)
        timing = {"step": position.step, "seconds": position.seconds, "steps_per_second": 1 / recent[-1]}
        self.run.append("timing", timing)
        rate = len(recent) / sum(recent)
        self.reporter.reading(Reading(position.step, rate, terms, accuracy, ratio, *self._perron, position.rejected))

    def _monitor(self, result: StepResult) -> None:
        quantities, alarms = self.monitor.read(result.last)
        self._perron = quantities.get("perron_ee"), quantities.get("perron_ii")
        self.run.append("metrics", {"kind": "monitor", "step": self.position.step, **quantities, "alarms": alarms})
        for alarm in alarms:
            self.reporter.message(f"step {self.position.step}: {alarm}", alarm=True)

    def _probe(self) -> None:
        """Evaluate on the first test images only: the learning curve, finer than whole evaluations can afford."""
        result = summarize(self._answers(self.config.train.probe_images))
        self.run.append("metrics", {"kind": "probe", "step": self.position.step, **result.readings()})
        self.run.append("timing", {"step": self.position.step, "seconds": self.position.seconds})

    def _evaluate(self, stop: StopRequest) -> None:
        def progress(done: int, total: int) -> None:
            self.reporter.evaluating(done, total)
            if stop.received is not None and done < total and self.team.world == 1:
                raise _Stopped

        position = self.position
        answers = self._answers(len(self.test), progress)
        result = summarize(answers)
        best = result.accuracy > position.best_accuracy
        position.evaluated_step, position.last_accuracy = position.step, result.accuracy
        if best:
            position.best_accuracy, position.best_step = result.accuracy, position.step
            if self.team.leads:
                save_checkpoint(self.run.best, self.model)
        self.run.write_answers(answers)
        self.run.append("metrics", {"kind": "evaluation", "step": position.step, **result.readings()})
        self.reporter.evaluation(position.step, self.config.data.measured_on, result, best)

    def _answers(self, count: int, progress: Callable[[int, int], None] | None = None) -> Answers:
        """Return the answers to the first test images, of which each process asks its share, every image once."""
        mine = torch.arange(self.team.rank, min(count, len(self.test)), self.team.world)
        answers = None  # of a process beyond the number of images
        if len(mine) > 0:
            batch = self.config.train.eval_batch
            answers = collect_answers(self.model, self.test, batch=batch, positions=mine, progress=progress)
        return Answers.merge([some for some in self.team.gather(answers) if some is not None])

    def _unreadable(self, what: str) -> None:
        self.reporter.message(f"left out: {what}", alarm=True)

    def _checkpoint(self) -> None:
        if not self.team.leads:
            return
        training: dict[str, Any] = {
            "optimizer": self.optimizer.state_dict(),
            "monitor": self.monitor.state_dict(),
            "position": asdict(self.position),
            "log_sizes": self.run.sizes(),
            "data": self._fingerprint,
            "scaler": self.trainer.scaler.state_dict(),
        }
        if self.config.train.clip.quantile is not None:
            training["norms"] = self.trainer.norms.state_dict()
        if self.trainer.multipliers is not None:
            training["multipliers"] = self.trainer.multipliers.state_dict()
        save_checkpoint(self.run.last, self.model, training)

    def _write_results(self) -> None:
        position = self.position
        self.run.write_results(
            {
                "complete": position.step == self.config.train.steps,
                "measured_on": self.config.data.measured_on,
                "step": position.step,
                "best_accuracy": position.best_accuracy if position.best_step else None,
                "best_step": position.best_step or None,
                "last_accuracy": position.last_accuracy if position.evaluated_step else None,
                "last_step": position.evaluated_step or None,
                "rejected": position.rejected,
                "seconds": position.seconds,
            }
        )
