"""What the site has that is no page of docs/: the README and its neighbours, and a reference of every public name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import tide

ROOT = Path(__file__).parents[2]
# What tqdm says where a notebook has no widgets; the kernel that runs ours inherits it.
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
NEIGHBOURS = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/ or are made here, and the pictures that they show."""
    for source, page in NEIGHBOURS.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_seen_from_docs(text)))
        for picture in re.findall(r"!\[[^\]]*\]\((results/[^)]+)\)", text):
            files.append(File.generated(config, picture, content=(ROOT / picture).read_bytes()))
    files.append(File.generated(config, "api.md", content=reference()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Name what a link into the repository leads to: the site holds the pages only. Marks like [D] are no links."""
    markdown = re.sub(r"\[([PRCD])\](?!\()", r"\\[\1\\]", markdown)
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Show the names that docstrings refer to as code: they are written as Sphinx reads them."""
    return re.sub(r":(?:class|func|meth|mod|data|attr):<code>(?:~[\w.]*\.)?", "<code>", html)


def reference() -> str:
    """Return the page of every public name, each with its docstring, in the order of ``tide._HOMES``."""
    parts = ["# Every public name\n\n`import tide` brings these; everything else is in the modules of their rooms.\n"]
    for name, home in tide._HOMES.items():
        parts.append(f"\n::: {home}.{name}\n    options: {{heading: tide.{name}, toc_label: tide.{name}}}\n")
    return "".join(parts)


def _seen_from_docs(text: str) -> str:
    """Return the text of a file beside docs/ with its links as from within."""

    def moved(match: re.Match[str]) -> str:
        sign, target = match[1], match[2]
        if target.startswith("docs/"):
            return f"{sign}({target.removeprefix('docs/')})"
        page, mark, section = target.partition("#")
        if page in NEIGHBOURS:
            return f"{sign}({NEIGHBOURS[page]}{mark}{section})"
        return match[0] if sign.startswith("!") else f"{sign}(../{target})"

    return re.sub(r"(!?\[[^\]]*\])\((?!https?:|#)([^)]+)\)", moved, text)
