"""What the documentation names must exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

import tide
from tide.cli import act
from tide.cli.main import COMMANDS
from tide.cli.parse import parse
from tide.config import Config
from tide.models.thinker import Thinker
from tide.studies.ablation import Study

ROOT = Path(__file__).parents[1]
EQUATIONS = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tide(?:\.\w+)+)`", EQUATIONS))))
def test_code_named_by_the_equations_exists(name: str) -> None:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return
    raise AssertionError(name)


def test_every_equation_names_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", EQUATIONS)
    assert len(named) > 50
    for path, function in named:
        assert function, f"{path} is named without a test"
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (path, function)
    rows = [line for line in EQUATIONS.splitlines() if line.startswith("|") and "tide." in line]
    assert all("tests/" in row for row in rows)


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_python_in_the_readme_runs(tmp_path: Path) -> None:
    """The snippet, with a real batch for its names."""
    images, labels = torch.rand(2, 1, 28, 28), torch.tensor([3, 7])
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace('"my-model"', repr(str(tmp_path / "my-model")))
    names: dict[str, Any] = {
        "images": images,
        "batches": [(images, labels)],
        "my_loss": lambda logits, labels: torch.nn.functional.cross_entropy(logits[..., -1], labels),
        "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]),
    }
    exec(code, names)
    assert names["out"].trace["rates_e"].shape == (2, 25, 205)
    assert names["answer"].label.shape == (2,)
    assert (tmp_path / "my-model" / "model.safetensors").is_file()


def _blocks(language: str) -> list[tuple[str, str]]:
    """Return the blocks of code in README.md and docs/, each with the page that it is on."""
    pages = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    found = [
        (page.name, re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)) for page in pages
    ]
    return [(page, block) for page, blocks in found for block in blocks]


class Understood(Exception):
    """A command line was parsed; nothing of it need be done."""


def test_every_command_in_the_documentation_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        shlex.split(line, comments=True)
        for _, block in _blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("tide ") and "--resume" not in line
    ]
    assert len(lines) >= 10

    def understand(*given: Any, **options: Any) -> Any:
        parse(*given, **options)
        raise Understood

    for _, command, *arguments in lines:
        name, _, function = COMMANDS[command].place.partition(":")
        module = importlib.import_module(f"tide.cli.{name}")
        monkeypatch.setattr(module, "parse", understand)
        monkeypatch.setattr(act, "parse", understand)
        with pytest.raises(Understood):
            getattr(module, function)(arguments)


def test_python_in_the_documentation_runs() -> None:
    """What needs an exported folder is run in tests/export, the README's snippet above."""
    names: dict[str, Any] = {"Config": Config, "preset": tide.preset, "Study": Study}
    blocks = [(page, block) for page, block in _blocks("python") if page not in ("README.md", "export.md")]
    assert {page for page, _ in blocks} == {"control.md", "extending.md", "native.md", "parts.md", "series.md"}
    for page, block in blocks:
        code = f"found = {{{block}}}" if block.startswith('"') else block
        exec(compile(code, page, "exec", dont_inherit=True), names)  # as a reader's own file: hints are no strings
        assert page != "native.md" or names["out"].logits.shape[0] == 64
    assert names["mnist_fast"]().core.ticks == 25
    thought = Thinker(names["gru"].model)(torch.rand(2, 1, 16, 16))
    assert thought.logits.shape == (2, 10, 10)
    assert names["found"]["width"].variants["512"] == {"core": {"neurons": 512}}


def test_every_page_is_in_the_site_and_every_public_name_in_its_reference() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.name for pattern in ("*.md", "*.ipynb") for page in (ROOT / "docs").glob(pattern)]
    assert all(f": {page}\n" in site for page in pages)
    assert set(tide._HOMES) == set(tide.__all__) - {"__version__"}
    assert all(hasattr(tide, name) for name in tide._HOMES)
