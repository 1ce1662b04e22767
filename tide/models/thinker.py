"""A thinking model: backbone, cell, read-out. It runs the loop over ticks (:mod:`tide.models.ticks`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from numbers import Integral, Real
from pathlib import Path
from threading import Lock
from typing import Any, Self, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from tide.config import ModelConfig, OutputConfig
from tide.config.base import builder
from tide.config.cores import MAX_TICKS
from tide.errors import InputError, check_path, did_you_mean, one_line, short_repr
from tide.models.cell import Cell, State
from tide.models.heads import ReluHead, at_tick, certainty, inputs_of, read_answers
from tide.models.inputs import InputKind, Inputs, Part, check_place, input_kind
from tide.models.saved import CARD, Card, as_markdown, digest, load_weights, read_card, read_model, write_model
from tide.models.ticks import (
    OBSERVED,
    AnyMoment,
    Collector,
    Halter,
    Moment,
    Observer,
    begin,
    difference,
    is_as_written,
    run_native,
    run_ticks,
    starts_together,
)
from tide.models.tide import TideCell
from tide.native.choice import Choice, choose
from tide.nn import project_
from tide.nn.state import register_pytree
from tide.nn.tools import transformed
from tide.types import Dynamics, Prediction, Recall, ThoughtOutput, Traced

register_pytree(ThoughtOutput, constant=("answers_from",))
register_pytree(Prediction)
for _kind in (Dynamics, Recall):
    pytree._register_namedtuple(_kind, serialized_type_name=f"{_kind.__module__}.{_kind.__qualname__}")

MODES = Lock()  # held while the modes of a model change

Run = Callable[[AnyMoment, Any, int], AnyMoment | None]


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
    :class:`~tide.models.inputs.Questions` are shown part by part.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # The generators' state is put back afterwards: building a model has no side effect and depends on none.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # torch.manual_seed would reseed accelerators too
            self.backbone: nn.Module = builder("backbone", config.backbone)(config.backbone, config.input)
            self.cell: Cell = builder("core", config.core)(
                config.core, features=config.backbone.features, outputs=config.head_outputs, seed=config.seed
            )
            self.critic: ReluHead | None = None
            if config.output.critic:
                self._make_agent_(config.output)
        mean, std = self.kind.statistics()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)
        self.compiled_step: Any = None
        self._predictions, self._modes = 0, list[bool]()  # how many predict at once, and the modes before them
        # What is known of trained weights, where they were loaded with it.
        self.card: Card | None = None
        # Half precision of the backbone in training; the dynamics stay as they are (paper, Appendix F).
        self.backbone_precision: torch.dtype | None = None

    def _make_agent_(self, output: OutputConfig) -> None:
        """Put an actor in the place of the head, and a critic beside it."""
        width = inputs_of(self.cell.get_submodule("head"))
        self.cell.head = ReluHead(width, output.critic, output.classes, norm=output.critic_norm)
        self.critic = ReluHead(width, output.critic, 1)

    @property
    def kind(self) -> InputKind[Any]:
        """The kind of input that it takes."""
        return input_kind(self.config)

    def forward(
        self,
        images: Inputs,
        *,
        state: State | None = None,
        record: Iterable[str] = (),
        ticks: int | None = None,
        tbptt: int = 0,
        recompute: int = 0,
        head_start: int = 0,
    ) -> ThoughtOutput:
        """Think about ``images`` (B, channels, H, W), float in [0, 1], or whatever else the model takes.

        ``state`` thinks on from where another thought of the same number of samples ended, ``out.state``: ten ticks and
        then fifteen from there are the same as twenty-five. ``record`` names quantities to return per tick in
        ``out.trace``; ``ticks`` overrides the configured number; ``tbptt`` > 0 cuts the gradient every so many ticks;
        ``recompute`` > 0 keeps the activations of only so many ticks at a time and computes the others again in the
        backward pass: less memory for more time, the same gradients; ``head_start`` ticks run before the others without
        gradient and are not returned. Raises :class:`InputError` for images of another
        type, shape or with non-finite pixels, for a state of another model or batch, and for unknown names. While
        ``torch.jit.trace`` traces it, the result is :class:`~tide.types.Traced`.
        """
        if not isinstance(record, Iterable):
            raise InputError(f"record must be names of quantities, like ('attention',), got {short_repr(record)}")
        record = (record,) if isinstance(record, str) else tuple(record)
        self._check_names(record)
        for name, value in (("tbptt", tbptt), ("recompute", recompute), ("head_start", head_start)):
            if not isinstance(value, Integral) or value < 0:
                none = "0 (no ticks)" if name == "head_start" else "0 (all ticks)"
                raise InputError(f"{name} must be {none} or more, got {short_repr(value)}")
        with _transforms_told():
            collector = Collector(self.cell, record)
            moment, parts = self._begin(images, state)
            if head_start:
                moment = self._ahead(moment, parts, head_start)
            carry = moment.state.carry
            end = self._think(moment, parts, collector, ticks, tbptt, recompute)
            assert end is not None
            observed = collector.stacked()
            reading = self.cell.readout(observed, carry)
            observed = {**observed, **reading.observed}
            logits = self.kind.arranged(reading.logits)
        if torch._C._get_tracing_state() is not None:
            # torch.jit.trace takes tuples of tensors only.
            return cast(ThoughtOutput, Traced(logits, certainty(logits)))
        return ThoughtOutput(
            logits=logits,
            certainty=certainty(logits),
            ei_ratio=observed.get("ei_ratio"),
            dynamics=self.cell.dynamics(collector.last, observed, reading.carry),
            trace={name: observed[name] for name in record},
            answers_from=self.kind.answers_from(images),
            state=end.state.replace(carry=reading.carry),
        )

    @torch.no_grad()
    def _ahead(self, moment: AnyMoment, parts: list[Part], ticks: int) -> AnyMoment:
        """Return where the model stands after some ticks, the read-out's carry among it."""
        collector = Collector(self.cell, ())
        end = self._think(moment, parts, collector, ticks)
        assert end is not None
        return end.changed(carry=self.cell.readout(collector.stacked(), moment.state.carry).carry)

    @torch.no_grad()
    def predict(
        self, images: Inputs, *, halt: float | None = None, ticks: int | None = None, state: State | None = None
    ) -> Prediction:
        """Classify ``images``, in eval mode, at the most certain tick.

        Images of another size than the model was made for are brought to it, with a warning. With ``halt`` an image
        stops at its first tick of at least that certainty and costs nothing afterwards (up to three more ticks on the
        native loop, which looks at the certainty every few ticks). ``state`` thinks on from where another thought
        ended; without ``halt`` the prediction holds the ``state`` in which this one ends. Raises :class:`InputError` as
        :meth:`forward` does, and where the model's answers are not finite.
        """
        if halt is not None and (isinstance(halt, bool) or not isinstance(halt, Real) or not 0 < halt <= 1):
            raise InputError(f"halt must be a certainty above 0 and at most 1, got {short_repr(halt)}; 0.9 is usual")
        if halt is not None and self.kind.answers_in_parts:
            raise InputError(f"halt must be left out for a series, got {halt}; every time step has an answer")
        if transformed():
            raise InputError("predict must be called outside torch.func, which has no answers to read; call the model")
        check_place(images, self.mean.device)
        images = self.kind.fit(images)
        with self._in_eval_mode():
            prediction = self._at_most_certain(images, ticks, state) if halt is None else None
            if halt is not None:
                moment, parts = self._begin(images, state)
                first = self.kind.answers_from(images)
                halter = Halter(self.cell, self.config.output, halt, first, moment.state.carry)
                self._think(moment, parts, halter, ticks)
                prediction = halter.prediction()
        assert prediction is not None
        lost = int((~prediction.certainty.isfinite()).sum())
        if lost:
            raise InputError(
                f"all answers must have a finite certainty, got {lost} of {len(prediction.certainty)} without; the "
                "weights are damaged, or the pixels far outside [0, 1]"
            )
        return prediction

    @contextmanager
    def _in_eval_mode(self) -> Iterator[None]:
        """Put the model into eval mode; the last of several threads that ask for it puts every part back."""
        with MODES:
            if self._predictions == 0:
                self._modes = [module.training for module in self.modules()]
                self.eval()
            self._predictions += 1
        try:
            yield
        finally:
            with MODES:
                self._predictions -= 1
                if self._predictions == 0:
                    for module, training in zip(self.modules(), self._modes, strict=False):
                        module.training = training

    def _at_most_certain(self, images: Inputs, ticks: int | None, state: State | None) -> Prediction:
        out = self(images, ticks=ticks, state=state)
        logits, sure = out.answers()
        answer = read_answers(logits, sure, self.config.output)
        tick = answer.certainty.argmax(1)
        return Prediction(
            label=at_tick(answer.classes, tick),
            certainty=answer.certainty.amax(1),
            ticks=torch.full_like(tick, logits.shape[-1]),
            probabilities=None if self.config.output.emitted else torch.softmax(at_tick(logits, tick), 1),
            state=out.state,
        )

    def _begin(self, images: Inputs, state: State | None) -> tuple[AnyMoment, list[Part]]:
        """Return where the model stands before the first tick, and what it will be shown."""
        parts = self._perceive(images)
        first = parts[0].content
        assert first is not None
        if state is None:
            return begin(self.cell, first), parts
        own = type(self.cell.initial(1))
        if type(state) is not own:
            raise InputError(f"state must be a {own.__name__} of this model, got a {type(state).__name__}")
        if state.batch != len(first):
            raise InputError(f"state must hold {len(first)} samples, as many as the input, got {state.batch}")
        return Moment(self.cell.context(first), state), parts

    def _think(
        self,
        moment: AnyMoment,
        parts: list[Part],
        observer: Observer,
        ticks: int | None,
        tbptt: int = 0,
        recompute: int = 0,
    ) -> AnyMoment | None:
        """Let the observer see every tick, in stretches between which the gradient is cut or activations dropped."""
        ticks = self.config.core.ticks if ticks is None else ticks
        if isinstance(ticks, bool) or not isinstance(ticks, Integral) or ticks < 1:
            raise InputError(f"ticks must be a whole number of at least 1, got {short_repr(ticks)}")
        if ticks > MAX_TICKS:
            raise InputError(f"ticks must be at most {MAX_TICKS}, got {ticks}; every tick's answer is kept")
        starts = dict(zip(accumulate(part.ticks for part in parts), parts[1:], strict=False))
        ticks += sum(part.ticks for part in parts)
        run = self._runner(observer, moment.state)
        ends = {end for every in (tbptt, recompute) if every for end in range(every, ticks, every)} | starts.keys()
        done = 0
        for end in (*sorted(ends), ticks):
            if done in starts:
                context = self.cell.set_input(moment.context, starts[done].content)
                moment = moment._replace(context=context)
            if tbptt and done and done % tbptt == 0:
                moment = moment._replace(state=moment.state.detach())
            if recompute and isinstance(observer, Collector) and torch.is_grad_enabled():
                # Pure: computed again, a stretch collects into a collector of its own that nobody reads.
                after, seen = checkpoint(_collected, run, moment, observer, end - done, use_reentrant=False)
                observer.extend(seen)
            else:
                after = run(moment, observer, end - done)
            if after is None:
                return None
            moment, done = after, end
        return moment

    def perceive(self, inputs: Inputs) -> Tensor:
        """Return what the cell reads of inputs that are shown whole; raises :class:`InputError` as :meth:`forward`."""
        (part,) = self._perceive(inputs)
        assert part.content is not None
        return part.content

    def begin(self, images: Inputs) -> AnyMoment:
        """Return context and state before the first tick; raises :class:`InputError` as :meth:`forward` does."""
        return self._begin(images, None)[0]

    def run_ticks(self, moment: AnyMoment, observer: Observer, ticks: int) -> AnyMoment | None:
        """Run ticks eagerly and show each to an observer."""
        return run_ticks(self.compiled_step or self.cell.step, moment, observer, ticks)

    def _perceive(self, inputs: Inputs) -> list[Part]:
        """Return what the cell is shown, one after the other; the backbone has its own precision in training."""
        check_place(inputs, self.mean.device)
        self.kind.check(inputs)
        normalised = self.kind.normalise(inputs, self.mean, self.std)
        if self.backbone_precision is None or not self.training or self.kind.in_parts:
            return self.kind.parts(self.backbone, normalised)
        with torch.autocast(self.mean.device.type, self.backbone_precision):
            parts = self.kind.parts(self.backbone, normalised)
        return [
            Part(part.content.to(self.mean.dtype) if part.content is not None else None, part.ticks) for part in parts
        ]

    def tick_loop(self, record: Iterable[str] = (), state: State | None = None) -> Choice:
        """Say whether the native or the eager loop over ticks runs when these are recorded from a state, and why."""
        record = (record,) if isinstance(record, str) else record
        recorded = any(name in self.cell.of_ticks() and name not in OBSERVED for name in record)
        altered = self.compiled_step is not None or not is_as_written(self.cell, self.mean) or self.kind.in_parts
        together = state is None or starts_together(state)
        return choose(
            self.config.core,
            self.mean,
            recorded=recorded,
            altered=altered,
            together=together,
            difference=partial(difference, self.cell),  # type: ignore[arg-type]  # asked of a TideCell only
        )

    def _runner(self, observer: Observer, state: State) -> Run:
        """Return what runs the ticks of one forward pass: :meth:`run_ticks`, or the same as native code."""
        if isinstance(observer, Collector | Halter):
            library = self.tick_loop(observer.recorded, state).library
            if library is not None and isinstance(self.cell, TideCell):
                return partial(run_native, library, self.cell)
        return self.run_ticks

    def compile_step(self, **options: Any) -> None:
        """Compile one tick with ``torch.compile``; the loop calls it as often as before."""
        self.compiled_step = torch.compile(self.cell.step, **options)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the compiled step out of copies: it is bound to the weights of the original."""
        return self.__dict__ | {"compiled_step": None, "_predictions": 0}

    def project_(self) -> None:
        """Apply Dale's principle and every other bound, in place: call once after each optimiser step."""
        project_(self)

    def components(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by the part that they belong to, under the names that users know."""
        parts = {"backbone": list(self.backbone.parameters())}
        if self.critic is not None:
            parts["critic"] = list(self.critic.parameters())
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
            raise InputError(f"cannot write {save_directory}: {why}; give another folder") from error

    def _save_pretrained(self, save_directory: Path) -> None:
        state = self.state_dict()
        if self.card is not None and self.card.digest != digest(state):
            self.card = None  # trained on: it speaks of other weights
        write_model(save_directory, self.config, state)
        if self.card is not None:
            self.card.write(save_directory / CARD)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the text that ``save_pretrained`` and ``push_to_hub`` write: what ``model.card`` says."""
        about = copy.copy(self._hub_mixin_info.model_card_data)
        if not self.config.classifies_images:
            about.tags = [tag for tag in about.tags or () if tag != "image-classification"]
        header = about.to_yaml()
        parameters = sum(parameter.numel() for parameter in self.parameters())
        text = as_markdown(self.config, self.card, parameters=parameters, takes=self.kind.takes)
        return ModelCard(f"---\n{header}\n---\n\n{text}")

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
        known = self.cell.observables
        for name in record:
            if name not in known:
                raise InputError(f"record must name quantities of this model, got {name!r}{did_you_mean(name, known)}")


@contextmanager
def _transforms_told() -> Iterator[None]:
    """Say in one line what torch.func does not do with a model, such as moving statistics of batches in training."""
    try:
        yield
    except RuntimeError as error:
        if not transformed():
            raise
        raise InputError(
            f"torch.func must be able to transform the model, got: {one_line(error)[:120]}; call model.eval(), or "
            "leave out recompute, or differentiate with backward()"
        ) from error


def _collected(run: Run, moment: AnyMoment, like: Collector, ticks: int) -> tuple[AnyMoment | None, Collector]:
    collector = like.empty()
    return run(moment, collector, ticks), collector
