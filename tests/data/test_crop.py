"""Where photos are cropped, against slow and obvious versions."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tide.data.photos.crop import centre_crop, random_crop

SIDES = st.integers(1, 600)
DRAWS = st.floats(0, 1, exclude_max=True)


class Listed(Random):
    """Gives the numbers of a list, over and over, and counts how many were taken."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__(0)
        self.numbers, self.taken = numbers, 0

    def random(self) -> float:
        self.taken += 1
        return self.numbers[(self.taken - 1) % len(self.numbers)]


def slow_crop(width: int, height: int, numbers: list[float]) -> tuple[int, int, int, int]:
    """Search the whole photo for the crop that the definition names: no formula for sizes or places."""
    position = 0

    def uniform(low: float, high: float) -> float:
        nonlocal position
        position += 1
        return low + (high - low) * numbers[(position - 1) % len(numbers)]

    for _ in range(10):
        area = uniform(0.08, 1) * (width * height)
        ratio = math.exp(uniform(math.log(3 / 4), math.log(4 / 3)))
        side = math.sqrt(area)
        wide, tall = round(side * math.sqrt(ratio)), round(side / math.sqrt(ratio))
        lefts, tops = range(width - wide + 1), range(height - tall + 1)
        if wide > 0 and tall > 0 and len(lefts) and len(tops):
            left = lefts[min(math.floor(uniform(0, len(lefts))), len(lefts) - 1)]
            top = tops[min(math.floor(uniform(0, len(tops))), len(tops) - 1)]
            return left, top, left + wide, top + tall
    if Fraction(width, height) < Fraction(3, 4):
        wide, tall = width, round(Fraction(width * 4, 3))
    elif Fraction(width, height) > Fraction(4, 3):
        wide, tall = round(Fraction(height * 4, 3)), height
    else:
        wide, tall = width, height
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


@given(SIDES, SIDES, st.lists(DRAWS, min_size=40, max_size=40))
def test_agrees_with_the_slow_version(width, height, numbers):
    found, wanted = random_crop(width, height, Listed(numbers)), slow_crop(width, height, numbers)
    # The square root of a product and the product of square roots may fall on two sides of a half.
    assert all(abs(a - b) <= 1 for a, b in zip(found, wanted, strict=True))


@given(SIDES, SIDES, st.integers(0, 2**63 - 1))
def test_lies_in_the_photo_with_area_and_ratio_within_bounds(width, height, seed):
    left, top, right, bottom = random_crop(width, height, Random(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    wide, tall = right - left, bottom - top
    # Rounding moves each side by half a pixel at most; a crop of one pixel is the least there is.
    assert (wide - 0.5) / (tall + 0.5) <= 4 / 3
    assert (wide + 0.5) / (tall - 0.5) >= 3 / 4
    # In a long photo the largest crop within the ratios may be less than 8 %.
    least = min(0.08, 4 / 3 / max(width / height, height / width))
    assert (wide + 0.5) * (tall + 0.5) >= least * width * height


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(300, 100, (83, 0, 216, 100)), (100, 300, (0, 83, 100, 216)), (7, 1, (3, 0, 4, 1)), (1, 7, (0, 3, 1, 4))],
)
def test_after_ten_tries_the_largest_crop_in_the_middle_is_taken(width, height, wanted):
    draws = Listed([0.9999, 0.5])  # always the whole area in a square, which fits into no long photo
    assert random_crop(width, height, draws) == wanted
    assert draws.taken == 20


def test_the_area_is_uniform_the_ratio_log_uniform_and_the_place_uniform_where_all_fits():
    # In a square photo of 1000 pixels every draw with up to half of the area fits: none is drawn anew.
    draws, shares, ratios, places = Random(1), [], [], []
    for _ in range(20_000):
        left, top, right, bottom = random_crop(1000, 1000, draws)
        wide, tall = right - left, bottom - top
        if wide * tall < 500_000:
            shares.append((wide * tall / 1e6 - 0.08) / 0.42)
            ratios.append((math.log(wide / tall) / math.log(4 / 3) + 1) / 2)
            places += [(left + 0.5) / (1000 - wide + 1), (top + 0.5) / (1000 - tall + 1)]
    for values in (shares, ratios, places):
        assert largest_gap(values) < 1.95 / math.sqrt(len(values))  # Kolmogorov and Smirnov at a level of 0.1 %


def largest_gap(values: list[float]) -> float:
    """Return how far the distribution of values is from the uniform one on 0..1 (Kolmogorov, Smirnov)."""
    count = len(values)
    return max(max((k + 1) / count - value, value - k / count) for k, value in enumerate(sorted(values)))


@given(SIDES, SIDES, st.integers(1, 300), st.floats(0.01, 1))
def test_the_middle_square_has_the_share_of_the_shorter_side(width, height, size, share):
    left, top, right, bottom = centre_crop(width, height, size, share)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == pytest.approx(min(width, height) * size / round(size / share))
    assert bottom - top == pytest.approx(right - left)
    assert left == pytest.approx(width - right, abs=1e-9)
    assert top == pytest.approx(height - bottom, abs=1e-9)


def test_the_middle_square_is_whole_or_at_the_published_size_seven_eighths():
    assert centre_crop(512, 256, 224) == (128, 0, 384, 256)
    assert centre_crop(512, 256, 224, 0.875) == (144, 16, 368, 240)
