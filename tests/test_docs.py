"""What the documentation names must exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import tide

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
    """The snippet, with a small model in place of the trained one and a real batch for its names."""
    images, labels = torch.rand(2, 1, 28, 28), torch.tensor([3, 7])
    saved = tmp_path / "saved"
    tide.create("digits").save_pretrained(saved)
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace("runs/mnist", str(saved)).replace('"my-model"', repr(str(tmp_path / "my-model")))
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
