"""Files of settings that nobody wrote by hand: one line, at once, whatever they hold."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tide.config import Config
from tide.config.io import from_dict, read_yaml
from tide.errors import ConfigError

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("train: {steps: 3}\ntrain: {steps: 5}\n", "key 'train' given twice"),
        ("train: {steps: 3, steps: 5}\n", "key 'steps' given twice"),
        ("seed: " + "[" * 20_000, "levels of nesting"),
        ("seed: " + "{a: " * 20_000, "levels of nesting"),
        ("seed: " + "9" * 6_000, "a number must have at most 40 digits, got 6000"),
        ("core: {dt: " + "9" * 6_000 + "}", "a number must have at most 40 digits, got 6000"),
        (BOMB, "alias *a"),
        ("core: &core {ticks: 3}\nloss: *core\n", "alias *core"),
        ("core: {guarantee: No}", "core.guarantee must be one of none, contraction, lds, got False; in YAML"),
        ("input: {mean: [.nan]}", "input.mean must be finite, got (nan,)"),
        ("input: {std: [.inf]}", "input.std must be finite, got (inf,)"),
        ("core: {tau_e: .nan}", "core.tau_e must be a finite number, got nan"),
        ("core: {ticks: " + "x" * 5_000 + "}", "core.ticks must be of type int, got 'xxx"),
        ("#" * 1_000_001, "must hold at most 1,000,000 characters"),
        ("? [1, 2]\n: 3\n", "is not valid YAML"),
        ("{[1]: 2}", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
        ("seed: 2001-01-99", "is not valid YAML"),
    ],
)
def test_what_is_no_file_of_settings_gives_one_line_at_once(tmp_path: Path, text: str, met: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read_yaml(Config, path)
    told = str(caught.value)
    assert met in told
    assert "\n" not in told
    assert len(told) < 400
    assert time.monotonic() - began < 5


def test_numbers_of_numpy_are_numbers() -> None:
    config = from_dict(Config, {"core": {"ticks": np.int64(7), "tau_e": np.float32(5.5)}, "seed": np.uint8(3)})
    assert (config.core.ticks, config.core.tau_e, config.seed) == (7, 5.5, 3)
    assert type(config.core.ticks) is int
    with pytest.raises(ConfigError, match="ticks"):
        from_dict(Config, {"core": {"ticks": np.bool_(True)}})
