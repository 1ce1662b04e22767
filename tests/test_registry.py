"""A cell and a backbone that live outside the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

import tide
from tests.test_general_shape import train
from tide.cli.main import main
from tide.config import TERMS, BackboneSettings, Config, CoreSettings, DataSettings, LossConfig, ModelConfig
from tide.config.base import Bound
from tide.config.io import from_dict, to_dict
from tide.data import DrawnTask, ImageSet, Parts, read_splits
from tide.errors import CheckpointError, ConfigError
from tide.models.cell import Cell, Context, Observable, Readout, State
from tide.plots.axes import attention_maps, grid
from tide.runs.folder import RunFolder

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, kw_only=True)
class GRUConfig(CoreSettings):
    kind: Literal["pooled"] = "pooled"
    neurons: int = 12
    ticks: int = 4
    attends = True

    @property
    def population(self) -> str:
        return f"{self.neurons} units"


class GRUContext(Context):
    read: Tensor


class GRUState(State):
    hidden: Tensor


@tide.register("core", GRUConfig)
class GRUCell(Cell):
    """Reads the mean token at every tick."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"dynamics": ("gru",), "head": ("head",)}
    activity: ClassVar[Mapping[str, str]] = {"hidden state": "hidden"}
    observables: ClassVar[Mapping[str, Observable]] = {"hidden": Observable(lambda hidden: hidden, "readout")}

    def __init__(self, core: GRUConfig, *, features: int, outputs: int, seed: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRUCell(features, core.neurons), nn.Linear(core.neurons, outputs)

    def context(self, x: Tensor) -> GRUContext:
        return GRUContext(read=x.mean(1))

    def set_input(self, context: GRUContext, x: Tensor | None) -> GRUContext:
        assert x is not None
        return self.context(x)

    def initial(self, batch: int) -> GRUState:
        return GRUState(hidden=self.head.weight.new_zeros(batch, self.gru.hidden_size))

    def step(self, context: GRUContext, state: GRUState) -> tuple[GRUState, Tensor]:
        hidden = self.gru(context.read, state.hidden)
        return GRUState(hidden=hidden), hidden

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        return Readout(self.head(observed["hidden"]).transpose(1, 2), {}, None)


@dataclass(frozen=True, kw_only=True)
class StripesConfig(BackboneSettings):
    kind: Literal["stripes"] = "stripes"
    features: int = 6


@tide.register("backbone", StripesConfig)
class Stripes(nn.Module):
    """Every row of pixels is a token."""

    def __init__(self, config: StripesConfig, input: Any) -> None:
        super().__init__()
        self.project = nn.Linear(input.channels * input.size, config.features)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.project(images.permute(0, 2, 1, 3).flatten(2))
        return tokens


def bright(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw images; which half is brighter, the upper or the lower one?"""
    images = torch.randint(256, (count, 1, 10, 10), generator=generator, dtype=torch.uint8)
    return images, (images[:, 0, :5].float().mean((1, 2)) > images[:, 0, 5:].float().mean((1, 2))).long()


@tide.register("task", "bright")
def bright_task(model: ModelConfig, directory: Path | None) -> DrawnTask:
    return DrawnTask(bright, (bright,))


@dataclass(frozen=True, kw_only=True)
class CheckerConfig(DataSettings):
    """Checkerboards and noise."""

    kind: Literal["checker"] = "checker"
    name: str = "8"
    images: Annotated[int, Bound(2)] = 24
    crop_padding: int = 0
    flip: bool = False


@tide.register("data", CheckerConfig)
def open_checkers(data: CheckerConfig, model: ModelConfig, directory: Path | None) -> Parts:
    size = model.input.extent

    def part(seed: int) -> ImageSet:
        noise = torch.randint(256, (data.images, 1, size, size), generator=torch.Generator().manual_seed(seed))
        board = 255 * ((torch.arange(size)[:, None] + torch.arange(size)) // int(data.name) % 2)
        labels = torch.arange(data.images) % 2
        images = torch.where(labels[:, None, None, None] == 0, noise, board)
        return ImageSet(images.to(torch.uint8), labels, ("noise", "board"))

    return Parts(data.title, lambda: part(0), lambda: part(1))


@tide.register("objective", "last_tick")
def last_tick(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return nn.functional.cross_entropy(logits[..., -1], targets)


NONE = {f"{term.name}_weight": 0.0 for term in TERMS if term.of_populations}
EXPERIMENT: dict[str, Any] = {
    "input": {"size": 10, "mean": [0.5], "std": [0.25]},
    "output": {"classes": 2},
    "backbone": {"kind": "stripes"},
    "core": {"kind": "pooled"},
    "data": {"name": "bright"},
    "loss": {**NONE, "objective": "last_tick"},
    "train": {"steps": 4, "batch": 6, "eval_every": 2, "checkpoint_every": 2, "log_every": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "gru.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    arguments = ["train", "--config", str(folder / "gru.yaml"), "--core.neurons", "10", "--device", "cpu"]
    assert main([*arguments, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_registered_kind_is_read_written_and_chosen_by_an_option(capsys: Capture) -> None:
    config = from_dict(Config, EXPERIMENT)
    assert (config.core, config.backbone) == (GRUConfig(), StripesConfig())
    assert from_dict(Config, to_dict(config)) == config
    options = ["--core.kind", "pooled", "--core.ticks", "3", "--backbone.kind", "stripes", "--print-config"]
    assert main(["train", "lstm.digits", *options]) == 0
    asked = from_dict(Config, yaml.safe_load(capsys.readouterr().out))
    assert (asked.core, asked.backbone) == (GRUConfig(ticks=3), StripesConfig())
    same = tide.create("digits", core={"kind": "pooled"}, loss=NONE)
    assert isinstance(same.cell, GRUCell)
    assert same(torch.rand(2, 1, 16, 16)).logits.shape == (2, 10, 4)


def test_data_of_an_extension_are_trained_on_held_out_and_named_on_the_command_line(tmp_path: Path) -> None:
    settings = {**EXPERIMENT, "data": {"kind": "checker", "name": "2"}, "loss": NONE}
    assert read_splits(from_dict(Config, settings)).test.classes == ("noise", "board")
    (tmp_path / "checker.yaml").write_text(yaml.safe_dump({**settings, "output": {"classes": 2}}))
    arguments = ["train", "--config", str(tmp_path / "checker.yaml"), "--data", "checker:3", "--device", "cpu"]
    assert main([*arguments, "--data.validation", "0.25", "--out", str(tmp_path / "run")]) == 0
    config = RunFolder.open(tmp_path / "run").config
    assert config.data == CheckerConfig(name="3", validation=0.25)
    assert main(["eval", str(tmp_path / "run")]) == 0
    with pytest.raises(ConfigError, match=r"data\.images must be at least 2, got 1"):
        from_dict(Config, {"data": {"kind": "checker", "images": 1}})


def test_every_command_works_on_a_run_of_an_extension(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["eval", str(run), "--out", str(tmp_path / "eval.json")]) == 0
    assert 0 <= json.loads((tmp_path / "eval.json").read_text())["accuracy"] <= 1
    Image.new("L", (10, 10), 200).save(tmp_path / "grey.png")
    assert main(["predict", str(run), str(tmp_path / "grey.png"), "--halt", "0.5"]) == 0
    for arguments in ([], ["3"]):
        assert main(["show", str(run), *arguments, "--out", str(tmp_path / "shown.png")]) == 0
        assert Image.open(tmp_path / "shown.png").size[0] > 800
    animated = ["show", str(run), str(tmp_path / "grey.png"), "--animate", str(tmp_path / "thought.gif")]
    assert main(animated) == 0
    capsys.readouterr()
    for refused in (["export", str(run), "--html", str(tmp_path / "page.html")], ["stability", str(run)]):
        assert main(refused) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert "pooled" in said[-1]
        assert not any("Traceback" in line for line in said)


def test_a_run_cut_after_two_steps_goes_on_bit_for_bit(run: Path, tmp_path: Path) -> None:
    train(RunFolder.open(run).config, tmp_path / "cut", upto=2)
    assert main(["train", "--resume", str(tmp_path / "cut"), "--device", "cpu"]) == 0
    whole, cut = (tide.load(folder, checkpoint="last").state_dict() for folder in (run, tmp_path / "cut"))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert (tmp_path / "cut" / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()


def test_saved_weights_come_back_and_an_unregistered_kind_is_named(run: Path, tmp_path: Path) -> None:
    model, images = tide.load(run), torch.rand(3, 1, 10, 10)
    model.save_pretrained(tmp_path)
    assert torch.equal(tide.load(tmp_path)(images).logits, model(images).logits)
    settings = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(settings.replace('"pooled"', '"elsewhere"'))
    with pytest.raises(
        CheckpointError,
        match=r"core\.kind must be a known one, got 'elsewhere'.*import an extension before",
    ):
        tide.load(tmp_path)


def section(kind: str, *left_out: str, bases: tuple[type, ...] = (CoreSettings,), **settings: Any) -> type[Any]:
    """Return a frozen configuration class of a kind, with what a core needs but for some of it."""
    needed = {"kind": (Literal[kind], kind), "ticks": (int, 4), "attends": (bool, True), "population": (str, "none")}
    needed["neurons"] = (int, 1)
    fields = [(name, hint, field(default=value)) for name, (hint, value) in needed.items() if name not in left_out]
    return make_dataclass("Mine", fields, bases=bases, **{"frozen": True, "kw_only": True, **settings})


@pytest.mark.parametrize(
    ("config_class", "said"),
    [
        (section("lstm"), "core.kind must be new, got 'lstm'"),
        (section("pooled"), "core.kind must be new, got 'pooled'"),
        (section("mine", "kind"), "Mine.kind must have one value"),
        (section("mine", bases=(), frozen=False), "Mine must be a frozen dataclass"),
        (section("mine", bases=()), "Mine must be a subclass of tide.config.CoreSettings"),
        (section("mine", "ticks"), "Mine must have a field or property ticks"),
        (section("mine", "attends"), "Mine must have a field or property attends"),
        (section("mine", "population"), "Mine must have a field or property population"),
        (
            make_dataclass(
                "Mine",
                [("kind", Literal["mine"], "mine"), ("width", int)],
                bases=(CoreSettings,),
                frozen=True,
                kw_only=True,
            ),
            "Mine.width must have a default",
        ),
        (GRUCell, "GRUCell must be a frozen dataclass"),
    ],
)
def test_a_class_that_is_no_section_is_refused(config_class: type[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        tide.register("core", config_class)(GRUCell)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"core\.kind must be a known one, got 'mine'"):
        from_dict(ModelConfig, {"core": {"kind": "mine"}})


def test_a_backbone_needs_the_width_of_its_tokens_and_a_class_may_be_defined_again() -> None:
    with pytest.raises(ConfigError, match="Mine must have a field or property features"):
        tide.register("backbone", section("mine", bases=(BackboneSettings,)))(Stripes)
    tide.register("core", GRUConfig)(GRUCell)
    assert from_dict(ModelConfig, {"core": {"kind": "pooled"}}).core == GRUConfig()


def test_a_cell_that_reads_tokens_is_not_given_bare_numbers() -> None:
    bare = {"input": {"kind": "sequence", "length": 5}, "backbone": {"kind": "none", "features": 5}}
    with pytest.raises(ConfigError, match=r"core\.attends must be False with input numbers"):
        from_dict(ModelConfig, {**bare, "core": {"kind": "pooled"}})


def test_a_task_and_an_objective_have_names_of_their_own() -> None:
    for name in ("parity", "bright", "two_point", "last_tick"):
        kind = "objective" if "t" in name[-5:] and "_" in name else "task"
        with pytest.raises(ConfigError, match=f"{kind} must have a name of its own, got '{name}'"):
            tide.register(kind, name)(json.dumps)
    with pytest.raises(ConfigError, match="section must be one of"):
        tide.register("nothing", "x")


def test_tokens_that_form_no_square_are_laid_out_as_the_nearest_rectangle() -> None:
    assert [grid(n) for n in (1, 7, 12, 64)] == [(1, 1), (1, 7), (3, 4), (8, 8)]
    maps = attention_maps(torch.arange(24.0).reshape(2, 1, 12))
    assert maps.shape == (2, 3, 4)
    assert maps[1, 2, 3] == 23
