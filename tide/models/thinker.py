"""A thinking model: backbone, cell, read-out, and the only loop over ticks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tide.config import FeatureMapConfig, ModelConfig, ScheduleConfig, SequenceConfig
from tide.config.checks import MOST_TICKS
from tide.errors import InputError, check_path, did_you_mean, one_line, shown
from tide.inputs import Inputs, answers_from, check_inputs, fitted
from tide.models.build import build_backbone, build_cell
from tide.models.cell import Cell, CellState
from tide.models.heads import arranged, at_tick, certainty, read_answers
from tide.models.native_ticks import OBSERVED, is_as_written, run_native
from tide.models.observers import Collector, Halter, Observer
from tide.models.saved import CARD, Card, as_markdown, digest, load_weights, read_card, read_model, write_model
from tide.models.tide import TideCell
from tide.native.choice import Choice, choose
from tide.nn.constraints import project_
from tide.types import Prediction, ThoughtOutput


class Shown(NamedTuple):
    """What the cell reads, see :meth:`tide.models.cell.Cell.show`, and for how many ticks before something else.

    The last is for the ticks of the answer; the first is never nothing.
    """

    content: Tensor | None
    ticks: int


class Thinker(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="tide-dynamics",
    paper_url="https://arxiv.org/abs/2605.19403",
    tags=["image-classification", "excitatory-inhibitory", "wilson-cowan"],
):
    """A model that thinks in ticks: TIDE, CTM or LSTM, whichever core its configuration names.

    ``config`` determines the model entirely, weights included. What it takes stands in ``config.input``, what it
    answers in ``config.output``. It normalises pixels itself: it takes float images in [0, 1], (B, channels, H, W);
    without a backbone, a feature map as it is, (B, features, H, W). Sequences are (B, length), and
    :class:`~tide.inputs.Questions` are shown part by part.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # The generators' state is put back afterwards: building a model has no side effect and depends on none.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # torch.manual_seed would reseed accelerators too
            self.backbone = build_backbone(config)
            self.cell: Cell = build_cell(config)
        # A feature map comes as it is, and so do sequences.
        mean: tuple[float, ...] = (0.0,)
        std: tuple[float, ...] = (1.0,)
        if not isinstance(config.backbone, FeatureMapConfig) and not isinstance(config.input, SequenceConfig):
            mean, std = config.input.mean, config.input.std
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)
        self.compiled_step: Any = None
        # What is known of trained weights, where they were loaded with it.
        self.card: Card | None = None
        # Half precision of the backbone in training; the dynamics stay as they are (paper, Appendix F).
        self.backbone_precision: torch.dtype | None = None

    def forward(
        self,
        images: Inputs,
        *,
        record: Iterable[str] = (),
        ticks: int | None = None,
        tbptt: int = 0,
        recompute: int = 0,
    ) -> ThoughtOutput:
        """Think about ``images`` (B, channels, H, W), float in [0, 1], or whatever else the model takes.

        ``record`` names quantities to return per tick in ``out.trace``; ``ticks`` overrides the configured number;
        ``tbptt`` > 0 cuts the gradient every so many ticks; ``recompute`` > 0 keeps the activations of only so many
        ticks at a time and computes the others again in the backward pass: less memory for more time, the same
        gradients. Raises :class:`InputError` for images of another type, shape or with non-finite pixels, and for
        unknown names.
        """
        if not isinstance(record, Iterable):
            raise InputError(f"record is {shown(record)}, names of quantities are wanted: record=('attention',)")
        record = (record,) if isinstance(record, str) else tuple(record)
        self._check_names(record)
        for name, value in (("tbptt", tbptt), ("recompute", recompute)):
            if not isinstance(value, Integral) or value < 0:
                raise InputError(f"{name} is {shown(value)}, 0 (all ticks) or more are wanted")
        collector = Collector(self.cell, record)
        self._think(images, collector, ticks, tbptt, recompute)
        observed = collector.stacked()
        reading = self.cell.readout(observed)
        observed = {**observed, **reading.observed}
        logits = arranged(reading.logits, self.config.output)
        return ThoughtOutput(
            logits=logits,
            certainty=certainty(logits),
            ei_ratio=observed.get("ei_ratio"),
            dynamics=self.cell.dynamics(collector.last, observed, reading.carry),
            trace={name: observed[name] for name in record},
            answers_from=answers_from(images, self.config),
        )

    @torch.no_grad()
    def predict(self, images: Inputs, *, halt: float | None = None, ticks: int | None = None) -> Prediction:
        """Classify ``images``, in eval mode, at the most certain tick.

        Images of another size than the model was made for are brought to it, with a warning. With ``halt`` an image
        stops at its first tick of at least that certainty and costs nothing afterwards (up to three more ticks on the
        native loop, which looks at the certainty every few ticks). Raises :class:`InputError` as :meth:`forward` does,
        and where the model's answers are not finite.
        """
        prediction = self._predict(fitted(images, self.config), halt, ticks)
        lost = int((~prediction.certainty.isfinite()).sum())
        if lost:
            raise InputError(
                f"the certainty of {lost} of {len(prediction.certainty)} answers is not finite, a number is wanted: "
                "the weights are damaged, or the pixels far outside [0, 1]"
            )
        return prediction

    def _predict(self, images: Inputs, halt: float | None, ticks: int | None) -> Prediction:
        if halt is not None and (isinstance(halt, bool) or not isinstance(halt, Real) or not halt > 0):
            raise InputError(
                f"halt is {shown(halt)}, a certainty above 0 is wanted: 0.9 is usual, above 1 nothing stops"
            )
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            if halt is None:
                logits, sure = self(images, ticks=ticks).answers()
                answer = read_answers(logits, sure, self.config.output)
                tick = answer.certainty.argmax(1)
                return Prediction(
                    label=at_tick(answer.classes, tick),
                    certainty=answer.certainty.amax(1),
                    ticks=torch.full_like(tick, logits.shape[-1]),
                    probabilities=None if self.config.output.emitted else torch.softmax(at_tick(logits, tick), 1),
                )
            halter = Halter(self.cell, self.config.output, halt, answers_from(images, self.config))
            self._think(images, halter, ticks)
            return halter.prediction()
        finally:
            for module, training in modes.items():
                module.training = training

    def _think(
        self,
        images: Inputs,
        observer: Observer,
        ticks: int | None,
        tbptt: int = 0,
        recompute: int = 0,
    ) -> None:
        """Let the observer see every tick, in stretches between which the gradient is cut or activations dropped."""
        ticks = self.config.core.ticks if ticks is None else ticks
        if isinstance(ticks, bool) or not isinstance(ticks, Integral) or ticks < 1:
            raise InputError(f"ticks is {shown(ticks)}, a whole number of 1 or more is wanted")
        if ticks > MOST_TICKS:
            raise InputError(f"ticks is {ticks}, at most {MOST_TICKS} are wanted: every tick's answer is kept")
        parts = self._perceive(images)
        starts = dict(zip(accumulate(part.ticks for part in parts), parts[1:], strict=False))
        ticks += sum(part.ticks for part in parts)
        first = parts[0].content
        assert first is not None
        state: CellState | None = self.cell.begin(first)
        run = self._runner(observer)
        ends = {end for every in (tbptt, recompute) if every for end in range(every, ticks, every)} | starts.keys()
        begin = 0
        for end in (*sorted(ends), ticks):
            assert state is not None
            if begin in starts:
                state = self.cell.show(state, starts[begin].content)
            if tbptt and begin and begin % tbptt == 0:
                state = state.detach()
            if recompute and isinstance(observer, Collector) and torch.is_grad_enabled():
                # Pure: computed again, a stretch collects into a collector of its own that nobody reads.
                state, seen = checkpoint(_collected, run, state, observer, end - begin, use_reentrant=False)
                observer.extend(seen)
            else:
                state = run(state, observer, end - begin)
            if state is None:
                return
            begin = end

    def begin(self, images: Inputs) -> CellState:
        """Return the state before the first tick on ``images``; raises :class:`InputError` as :meth:`forward` does."""
        first = self._perceive(images)[0].content
        assert first is not None
        return self.cell.begin(first)

    def _perceive(self, inputs: Inputs) -> list[Shown]:
        """Return what the cell is shown, one after the other; the last for all ticks of the answer."""
        check_inputs(inputs, self.config)
        settings = self.config.input
        if not isinstance(settings, ScheduleConfig):
            assert isinstance(inputs, Tensor)
            return [Shown(self._tokens(inputs), 0)]
        digits, question = inputs
        read, parts = self.backbone((digits.to(self.mean.dtype) - self.mean) / self.std, question)
        return [
            *(Shown(tokens, settings.ticks_per_digit) for tokens in read),
            *(Shown(drive, settings.ticks_per_part) for drive in parts),
            Shown(None, 0),
        ]

    def run_ticks(self, state: CellState, observer: Observer, ticks: int) -> CellState | None:
        """The only eager loop over ticks. The observer sees each and returns the state that goes on, None to stop."""
        step = self.compiled_step or self.cell.step
        for _ in range(ticks):
            state, features = step(state)
            following = observer.observe(state, features)
            if following is None:
                return None
            state = following
        return state

    def tick_loop(self, record: Iterable[str] = ()) -> Choice:
        """Say whether the native or the eager loop over ticks runs when these are recorded, and why."""
        record = (record,) if isinstance(record, str) else record
        recorded = any(name in self.cell.observables and name not in OBSERVED for name in record)
        altered = self.compiled_step is not None or not is_as_written(self.cell, self.mean)
        altered = altered or isinstance(self.config.input, ScheduleConfig)
        return choose(self.config.core, self.mean, recorded=recorded, altered=altered)

    def _runner(self, observer: Observer) -> Callable[[Any, Any, int], CellState | None]:
        """Return what runs the ticks of one forward pass: :meth:`run_ticks`, or the same as native code."""
        if isinstance(observer, Collector | Halter):
            library = self.tick_loop(observer.recorded).library
            if library is not None and isinstance(self.cell, TideCell):
                return partial(run_native, library, self.cell)
        return self.run_ticks

    def _tokens(self, images: Tensor) -> Tensor:
        """Normalise and run the backbone, in training with its own precision; tokens come in the model's."""
        normalised = images.to(self.mean.dtype)
        if not isinstance(self.config.input, SequenceConfig):
            normalised = (normalised - self.mean) / self.std
        if self.backbone_precision is None or not self.training:
            tokens: Tensor = self.backbone(normalised)
            return tokens
        with torch.autocast(images.device.type, self.backbone_precision):
            tokens = self.backbone(normalised)
        return tokens.to(self.mean.dtype)

    def compile_step(self, **options: Any) -> None:
        """Compile one tick with ``torch.compile``; the loop calls it as often as before."""
        self.compiled_step = torch.compile(self.cell.step, **options)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the compiled step out of copies: it is bound to the weights of the original."""
        return self.__dict__ | {"compiled_step": None}

    def project_(self) -> None:
        """Apply Dale's principle and every other bound, in place: call once after each optimiser step."""
        project_(self)

    def components(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by the part that they belong to, under the names that users know."""
        parts = {"backbone": list(self.backbone.parameters())}
        for name, members in self.cell.components.items():
            parts[name] = []
            for member in (getattr(self.cell, attribute) for attribute in members):
                if isinstance(member, nn.Parameter):
                    parts[name].append(member)
                elif member is not None:  # a part that is switched off is None
                    parts[name].extend(member.parameters())
        return parts

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """Write weights, configuration and card into a folder; raises :class:`InputError` where that cannot be."""
        check_path("save_directory", save_directory)
        try:
            return super().save_pretrained(save_directory, **options)
        except OSError as error:
            why = error.strerror or one_line(error)
            raise InputError(
                f"cannot write {save_directory} ({why}), a folder that can be written is wanted"
            ) from error

    def _save_pretrained(self, save_directory: Path) -> None:
        write_model(save_directory, self.config, self.state_dict())
        if self.card is not None and self.card.digest == digest(self.state_dict()):
            self.card.write(save_directory / CARD)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the card that ``save_pretrained`` and ``push_to_hub`` write: what ``model.card`` says."""
        if self.card is not None and self.card.digest != digest(self.state_dict()):
            self.card = None  # trained on: it speaks of other weights
        about = copy.copy(self._hub_mixin_info.model_card_data)
        if not self.config.classifies_images:
            about.tags = [tag for tag in about.tags or () if tag != "image-classification"]
        header = about.to_yaml()
        return ModelCard(f"---\n{header}\n---\n\n{as_markdown(self)}")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **options: Any) -> Self:
        """Read a local folder, or a repository of the hub; the model comes in eval mode."""
        if Path(model_id).is_dir():
            return cls.from_folder(Path(model_id)).to(map_location)
        names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        snapshot = snapshot_download(model_id, **{name: options[name] for name in names})
        return cls.from_folder(Path(snapshot)).to(map_location)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read what ``save_pretrained`` wrote; the model comes in eval mode."""
        config, state = read_model(folder)
        model = cls(config)
        load_weights(model, state, folder)
        model.card = read_card(folder, state)
        return model.eval()

    def _check_names(self, record: tuple[str, ...]) -> None:
        known = self.cell.recordable()
        for name in record:
            if name not in known:
                raise InputError(f"cannot record {name!r}{did_you_mean(name, known)}")


def _collected(
    run: Callable[[Any, Any, int], CellState | None], state: CellState, like: Collector, ticks: int
) -> tuple[CellState | None, Collector]:
    collector = like.empty()
    return run(state, collector, ticks), collector
