"""The tables have a row for every severity, and sizes between the published ones follow the stated rule."""

from __future__ import annotations

import pytest

from tide.corruptions import CORRUPTIONS, EXTRA, SEVERITIES
from tide.corruptions.tables import MEANINGS, TABLES, constants


@pytest.mark.parametrize("side", [32, 64, 224])
def test_published_sizes_have_the_published_numbers(side):
    assert set(TABLES[side]) == set(MEANINGS) == {*CORRUPTIONS, *EXTRA}
    for name, rows in TABLES[side].items():
        assert len(rows) == 5
        for severity in SEVERITIES:
            assert constants(name, severity, side) == rows[severity - 1]
            assert len(rows[severity - 1]) == len(MEANINGS[name])


@pytest.mark.parametrize(
    ("side", "table"), [(8, 32), (28, 32), (45, 32), (46, 64), (96, 64), (119, 64), (120, 224), (192, 224), (500, 224)]
)
def test_other_sizes_scale_the_lengths_of_the_nearest_table(side, table):
    for name, meanings in MEANINGS.items():
        for severity in SEVERITIES:
            for met, published, meaning in zip(
                constants(name, severity, side), TABLES[table][name][severity - 1], meanings, strict=True
            ):
                assert met == pytest.approx(published * (side / table if meaning.endswith("*") else 1))


def test_28_pixels_take_seven_eighths_of_the_lengths_at_32():
    assert constants("gaussian_blur", 5, 28) == (0.875,)
    assert constants("gaussian_noise", 5, 28) == (0.10,)
    assert constants("motion_blur", 3, 28) == (6 * 0.875, 2 * 0.875)
    assert constants("elastic_transform", 5, 28) == pytest.approx((2.8, 0.84, 0.84))
