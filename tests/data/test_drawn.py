"""Parity, sorting and questions over digits against slow, obvious versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tide.data import ImageSet
from tide.data.drawn.sequences import answer, draw_parity, draw_questions, draw_sorting, rising
from tide.errors import DataError
from tide.models.inputs import MINUS, PLUS

few = settings(max_examples=20, deadline=None)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits(labels: list[int]) -> ImageSet:
    """Images that hold their own label as a grey value."""
    values = torch.tensor(labels)
    images = values.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return ImageSet(images, values, tuple("0123456789"))


@few
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 10**6))
def test_parity_is_that_of_a_loop(count, length, seed):
    values, targets = draw_parity(count, length, generator(seed))
    assert values.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert targets.shape == (count, length)
    for sequence, answers in zip(values.tolist(), targets.tolist(), strict=True):
        odd = 0
        for value, target in zip(sequence, answers, strict=True):
            assert value in (-1.0, 1.0)
            odd = 1 - odd if value == -1 else odd
            assert target == odd


@few
@given(st.integers(1, 5), st.integers(2, 20), st.integers(0, 10**6))
def test_the_targets_of_sorting_put_the_numbers_in_order(count, length, seed):
    numbers, targets = draw_sorting(count, length, generator(seed))
    assert numbers.dtype == torch.float32
    for row, order in zip(numbers.tolist(), targets.tolist(), strict=True):
        assert [row[place] for place in order] == sorted(row)
        assert sorted(order) == list(range(length))
    assert torch.equal(rising(numbers), targets)


def slow_answer(labels: list[int], parts: list[int]) -> int:
    value = labels[parts[0]] % 10
    for operator, place in zip(parts[1::2], parts[2::2], strict=True):
        value = (value + labels[place] if operator == -1 else value - labels[place]) % 10
    return value


@few
@given(st.tuples(st.integers(1, 3), st.integers(0, 3)), st.tuples(st.integers(1, 3), st.integers(0, 3)), st.integers(0))
def test_questions_are_answered_by_a_slow_interpreter(shown, asked, seed):
    labels = [3, 0, 9, 7, 5, 5, 1]
    bounds = [(fewest, fewest + more) for fewest, more in (shown, asked)]
    drawn, answers = draw_questions(digits(labels), 6, *bounds, generator(seed % 2**40))
    count, operations = drawn.digits.shape[1], drawn.question.shape[1] // 2
    assert drawn.digits.shape == (6, count, 1, 4, 4)
    for number, (fewest, most) in zip((count, operations), bounds, strict=True):
        assert fewest <= number <= most
    for pixels, parts, found in zip(drawn.digits, drawn.question.tolist(), answers.tolist(), strict=True):
        assert all(0 <= place < count for place in parts[0::2])
        assert set(parts[1::2]) <= {-1, -2}
        assert found == slow_answer(pixels[:, 0, 0, 0].tolist(), parts)


def test_a_question_adds_and_subtracts_modulo_ten_in_turn():
    labels, parts = torch.tensor([[2, 7, 9]]), torch.tensor([[1, PLUS, 2, MINUS, 1, MINUS, 2, PLUS, 0]])
    assert answer(labels, parts).tolist() == [2]  # 7, +9: 6, −7: 9, −9: 0, +2: 2


def test_numbers_of_digits_and_operations_places_and_operators_are_drawn_evenly():
    images, source = digits(list(range(10))), generator(0)
    drawn = [draw_questions(images, 8, (1, 3), (1, 4), source)[0] for _ in range(300)]
    for counts, numbers in ((3, [q.digits.shape[1] for q in drawn]), (4, [q.question.shape[1] // 2 for q in drawn])):
        shares = torch.tensor(numbers).bincount(minlength=counts + 1)[1:] / 300
        assert shares.tolist() == pytest.approx([1 / counts] * counts, abs=0.08)
    operators = torch.cat([q.question[:, 1::2].flatten() for q in drawn])
    assert float((operators == PLUS).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_the_answer_zero_is_likelier_than_others_where_a_digit_may_be_subtracted_from_itself():
    _, answers = draw_questions(digits(list(range(10))), 4000, (1, 1), (1, 1), generator(0))
    shares = answers.bincount(minlength=10) / 4000
    # Minus: always 0. Plus: twice a digit, the even ones alike.
    assert shares.tolist() == pytest.approx([0.6, 0, 0.1, 0, 0.1, 0, 0.1, 0, 0.1, 0], abs=0.03)


DRAWS: dict[str, Callable[[torch.Generator], tuple[torch.Tensor, ...]]] = {
    "parity": lambda source: draw_parity(4, 8, source),
    "sorting": lambda source: draw_sorting(4, 8, source),
    "questions": lambda source: draw_questions(digits([0, 1, 2, 3]), 4, (2, 2), (2, 2), source)[0],
}


@pytest.mark.parametrize("task", DRAWS)
def test_the_generator_alone_decides(task):
    before = torch.get_rng_state()
    first, again, other = (DRAWS[task](generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_bad_input_gives_one_line(refuses):
    with refuses("list 1 must hold different numbers, got 2 at 0 and 2 at 3"):
        rising(torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 5.0, 2.0]]))
    with pytest.raises(DataError, match="nan"):
        rising(torch.tensor([[1.0, float("nan"), 3.0]]))
    with refuses("count must be at least 1, got 0"):
        draw_parity(0, 4, generator(0))
    with refuses("length must be at least 2, got 1"):
        draw_sorting(2, 1, generator(0))
    with refuses("digits[1] must be at least 3, got 2"):
        draw_questions(digits([1]), 2, (3, 2), (1, 1), generator(0))
    with refuses("operations[0] must be at least 1, got 0"):
        draw_questions(digits([1]), 2, (1, 2), (0, 1), generator(0))
    with refuses("10 classes, got 3"):
        draw_questions(ImageSet(digits([1]).images, torch.tensor([1]), tuple("abc")), 2, (1, 2), (1, 1), generator(0))
