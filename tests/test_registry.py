"""A cell and a backbone that live outside the package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

import tide
from tests.test_general_shape import train
from tide.cli.main import main
from tide.config import TERMS, Config, ModelConfig
from tide.config.io import from_dict, to_dict
from tide.data import DrawnTask, register
from tide.errors import CheckpointError, ConfigError
from tide.models.cell import Cell, Readout
from tide.plots.axes import attention_maps, grid
from tide.runs.folder import RunFolder

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, kw_only=True)
class GRUConfig:
    kind: Literal["pooled"] = "pooled"
    neurons: int = 12
    ticks: int = 4

    @property
    def attends(self) -> bool:
        return True

    @property
    def population(self) -> str:
        return f"{self.neurons} units"


class GRUState(NamedTuple):
    drive: Tensor
    hidden: Tensor

    def detach(self) -> Self:
        return self._replace(hidden=self.hidden.detach())

    def rows(self, index: Tensor) -> Self:
        return self._replace(drive=self.drive[index], hidden=self.hidden[index])


class GRUCell(Cell):
    """Reads the mean token at every tick."""

    observables: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = {"hidden": lambda hidden: hidden}
    needed = ("hidden",)
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"dynamics": ("gru",), "head": ("head",)}
    activity: ClassVar[Mapping[str, str]] = {"hidden state": "hidden"}

    def __init__(self, core: GRUConfig, *, features: int, outputs: int, seed: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRUCell(features, core.neurons), nn.Linear(core.neurons, outputs)

    def begin(self, shown: Tensor) -> GRUState:
        hidden = shown.new_zeros(len(shown), self.gru.hidden_size)
        return self.show(GRUState(hidden, hidden), shown)

    def show(self, state: GRUState, shown: Tensor | None) -> GRUState:
        assert shown is not None
        return state._replace(drive=shown.mean(1))

    def step(self, state: GRUState) -> tuple[GRUState, Tensor]:
        hidden = self.gru(state.drive, state.hidden)
        return state._replace(hidden=hidden), hidden

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        return Readout(self.head(observed["hidden"]).transpose(1, 2), {}, None)


@dataclass(frozen=True, kw_only=True)
class StripesConfig:
    kind: Literal["stripes"] = "stripes"
    features: int = 6


class Stripes(nn.Module):
    """Every row of pixels is a token."""

    def __init__(self, config: StripesConfig, input: Any) -> None:
        super().__init__()
        self.project = nn.Linear(input.channels * input.size, config.features)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.project(images.permute(0, 2, 1, 3).flatten(2))
        return tokens


tide.register_cell(GRUConfig, GRUCell)
tide.register_backbone(StripesConfig, Stripes)


def bright(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw images; which half is brighter, the upper or the lower one?"""
    images = torch.randint(256, (count, 1, 10, 10), generator=generator, dtype=torch.uint8)
    return images, (images[:, 0, :5].float().mean((1, 2)) > images[:, 0, 5:].float().mean((1, 2))).long()


register("bright", lambda config, directory: DrawnTask(bright, (bright,)))
NONE = {f"{term.name}_weight": 0.0 for term in TERMS if term.of_populations}
EXPERIMENT: dict[str, Any] = {
    "input": {"size": 10, "mean": [0.5], "std": [0.25]},
    "output": {"classes": 2},
    "backbone": {"kind": "stripes"},
    "core": {"kind": "pooled"},
    "data": {"name": "bright"},
    "loss": NONE,
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
    with pytest.raises(CheckpointError, match=r"core\.kind is 'elsewhere'.*not registered.*import the extension first"):
        tide.load(tmp_path)


def section(kind: str, *left_out: str, **settings: Any) -> type[Any]:
    """Return a frozen configuration class of a kind, with what a core needs but for some of it."""
    needed = {"kind": (Literal[kind], kind), "ticks": (int, 4), "attends": (bool, True), "population": (str, "none")}
    fields = [(name, hint, field(default=value)) for name, (hint, value) in needed.items() if name not in left_out]
    return make_dataclass("Mine", fields, **{"frozen": True, "kw_only": True, **settings})


@pytest.mark.parametrize(
    ("config_class", "said"),
    [
        (section("lstm"), "core.kind 'lstm' is already registered"),
        (section("pooled"), "core.kind 'pooled' is already registered"),
        (section("mine", "kind"), "Mine has no kind"),
        (section("mine", frozen=False), "Mine is no frozen dataclass"),
        (section("mine", "ticks"), "Mine has no ticks"),
        (section("mine", "attends"), "Mine has no attends"),
        (section("mine", "population"), "Mine has no population"),
        (
            make_dataclass("Mine", [("kind", Literal["mine"], "mine"), ("width", int)], frozen=True, kw_only=True),
            "width",
        ),
        (GRUCell, "GRUCell is no frozen dataclass"),
    ],
)
def test_a_class_that_is_no_section_is_refused(config_class: type[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        tide.register_cell(config_class, GRUCell)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"core\.kind is 'mine'"):
        from_dict(ModelConfig, {"core": {"kind": "mine"}})


def test_a_backbone_needs_the_width_of_its_tokens_and_a_class_may_be_defined_again() -> None:
    with pytest.raises(ConfigError, match="Mine has no features"):
        tide.register_backbone(section("mine"), Stripes)
    tide.register_cell(GRUConfig, GRUCell)
    assert from_dict(ModelConfig, {"core": {"kind": "pooled"}}).core == GRUConfig()


def test_a_cell_that_reads_tokens_is_not_given_bare_numbers() -> None:
    bare = {"input": {"kind": "sequence", "length": 5}, "backbone": {"kind": "none", "features": 5}}
    with pytest.raises(ConfigError, match=r"core\.attends is True for numbers, False is wanted"):
        from_dict(ModelConfig, {**bare, "core": {"kind": "pooled"}})


def test_tokens_that_form_no_square_are_laid_out_as_the_nearest_rectangle() -> None:
    assert [grid(n) for n in (1, 7, 12, 64)] == [(1, 1), (1, 7), (3, 4), (8, 8)]
    maps = attention_maps(torch.arange(24.0).reshape(2, 1, 12))
    assert maps.shape == (2, 3, 4)
    assert maps[1, 2, 3] == 23
