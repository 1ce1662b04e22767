"""The page's sources joined to one text: modules of JavaScript in the order in which they need each other."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

SOURCES = files("tide") / "page"
IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(\./|(?:\.\./)+)([\w/.]+)";\n', re.MULTILINE)
OPERATOR = re.compile(r"^OPERATORS\.(\w+) =", re.MULTILINE)


def source(name: str) -> str:
    """Return a source file by its path inside ``tide/page``."""
    return SOURCES.joinpath(*name.split("/")).read_text(encoding="utf-8")


def modules(entry: str = "main.js") -> list[str]:
    """Return the modules that ``entry`` needs, itself last; each after those that it imports."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        for up, target in IMPORT.findall(source(name)):
            visit("/".join([*name.split("/")[: -1 - up.count("../")], target]))
        found.append(name)

    visit(entry)
    return found


def script() -> str:
    """Return all modules as one: they share one scope, so no two of them give the same name away."""
    parts = (re.sub(r"^export ", "", IMPORT.sub("", source(name)), flags=re.MULTILINE).strip() for name in modules())
    return "\n\n".join(parts)


def operators() -> set[str]:
    """Return the operators of ONNX that the page's reader knows."""
    return {name for module in modules() for name in OPERATOR.findall(source(module))}


def joined(models: Any) -> str:
    """Return the whole page with ``models`` inside, as JSON."""
    content = json.dumps(models, separators=(",", ":"), ensure_ascii=True).replace("</", "<\\/")
    page = source("index.html")
    for mark, text in (("STYLE", source("style.css")), ("MODELS", content), ("SCRIPT", script())):
        page = page.replace(f"/*{mark}*/", text, 1)
    return page
