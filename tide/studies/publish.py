"""A study's results on disk: numbers first, then pictures, with the command that gives them again anywhere."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tide.files import write_json, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


# Writing a picture, with a font for every name of a class.


DPI = 130
_FIRST_CJK = "\u2e80"  # Chinese, Japanese and Korean characters begin here, and few fonts have what follows
_CJK_FONTS = (
    *("Noto Sans CJK", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "Source Han Sans", "WenQuanYi", "IPAexGothic"),
    *("IPAGothic", "Nanum", "Droid Sans Fallback", "Hiragino Sans", "PingFang", "Apple SD Gothic", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "MS Gothic", "SimHei", "Unifont"),
)
"""How the names of fonts begin that have such characters, the preferred ones first."""


def _take_dollars_as_they_are(figure: Figure, texts: Sequence[Text]) -> None:
    """Show texts such as the name of a class as they are written; only powers of ten along an axis are formulas."""
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    numbered = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatter | ScalarFormatter)]
    numbers = {id(label) for axis in numbered for label in axis.get_ticklabels(which="both")}
    for text in texts:
        if id(text) not in numbers:
            text.set_parse_math(False)


def save(figure: Figure, path: Path) -> None:
    """Write a picture; of characters that no installed font has, warn once. Raises OSError and ValueError as Pillow."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    _take_dollars_as_they_are(figure, texts)
    if any(max(text.get_text(), default="") >= _FIRST_CJK for text in texts):
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *_cjk_fonts()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(path, dpi=DPI)
    missing = [warning for warning in caught if "missing from" in str(warning.message)]
    for warning in (other for other in caught if other not in missing):
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing:
        warnings.warn(
            f"{path} shows boxes: no installed font has some of its characters, install one that does, such as Noto "
            "Sans CJK",
            stacklevel=2,
        )


@cache
def _cjk_fonts() -> list[str]:
    """Return the names of installed fonts with Chinese, Japanese or Korean characters."""
    from matplotlib.font_manager import fontManager

    names = sorted({font.name for font in fontManager.ttflist})
    return [name for start in _CJK_FONTS for name in names if name.startswith(start)]


# A study's results on disk: numbers first, then pictures, with the command that gives them again anywhere.


PLACES = ("--data-dir", "--out", "--jobs")
"""Options that say where and how, not what: left out of the command that a result is published with."""


def command_line(command: str, arguments: Sequence[str]) -> str:
    """Return the command line that gives the same result anywhere, without the places of this machine."""
    return shlex.join(["tide", command, *without_places(arguments)])


def without_places(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments without options that say where and how; of a path outside, its name is left."""
    kept, skip = [], False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if skip:
            skip = False
        elif option.replace("_", "-") in PLACES:
            skip = not equals
        else:
            kept.append(_OUTSIDE.sub(r"\1", argument))
    return kept


_OUTSIDE = re.compile(r"((?:^|[:=]))(?:~|\.\.|[A-Za-z]:[\\/]|/)[^:=]*[\\/](?=[^\\/]+[\\/]?$)")
"""What a path outside the current folder (or one after ``folder:`` or ``--option=``) has before its name."""


def save_study(
    out: Path, name: str, result: Mapping[str, Any], text: str, figures: Mapping[str, Callable[[], Figure]]
) -> None:
    """Write NAME.json and NAME.md into the study's folder; draw the pictures only then, so that no number is lost."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / f"{name}.json", result)
        (out / f"{name}.md").write_text(text, encoding="utf-8")
        for file, draw in figures.items():
            save(draw(), out / file)
