"""Answers of a split, accuracy tick by tick, halting and mazes walked on."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from tests import slow
from tests.evaluate.test_statistics import slow_calibration_error
from tide.config import OutputConfig
from tide.data import ImageSet, to_float
from tide.evaluate.answers import Answers, collect_answers, evaluate, summarize
from tide.evaluate.halting import HaltingSweep, sweep_thresholds
from tide.evaluate.thinking import think_longer
from tide.plots.halting import stopping_shares
from tide.train.monitor import answer_quantities
from tide.types import ThoughtOutput

KINDS = ("tide", "ctm", "lstm")


@pytest.fixture(scope="module")
def split() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (7, 1, 9, 9), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.randint(4, (7,), generator=generator), tuple("abcd"))


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_the_mean_over_images_asked_one_by_one(tiny_model, split, kind):
    model = tiny_model(kind=kind).train()
    seen: list[tuple[int, int]] = []
    found = evaluate(model, split, batch=3, progress=lambda done, total: seen.append((done, total)))
    assert model.training
    assert seen == [(3, 7), (6, 7), (7, 7)]
    model.eval()
    n, right, chosen, certainties, losses, confidences, ratios = 7, [], [], [], [], [], []
    rising = falling = 0
    oracle, answered, costs_there = [], [0] * 4, []
    for image, label in zip(split.images, split.labels.tolist(), strict=True):
        with torch.no_grad():
            out = model(to_float(image[None]))
        ticks = [slow.softmax(out.logits[0, :, t].numpy()) for t in range(4)]
        sure = [slow.certainty(out.logits[0, :, t].numpy()) for t in range(4)]
        costs = [-torch.tensor(p[label]).log().item() for p in ticks]
        best = sure.index(max(sure))
        right.append([int(p.argmax()) == label for p in ticks])
        chosen.append(right[-1][best])
        certainties.append(sure[best])
        confidences.append(float(ticks[best].max()))
        losses.append(0.5 * (min(costs) + costs[best]))
        oracle.append(right[-1][costs.index(min(costs))])
        answered[best] += 1
        costs_there.append(costs[best])
        rising += all(a <= b for a, b in pairwise(sure))
        falling += all(a >= b for a, b in pairwise(costs))
        if out.ei_ratio is not None:
            ratios += out.ei_ratio[0].tolist()
    assert found.images == n
    assert found.accuracy == pytest.approx(sum(chosen) / n)
    assert found.accuracy_per_tick == pytest.approx([sum(r[t] for r in right) / n for t in range(4)])
    assert found.accuracy_last_tick == found.accuracy_per_tick[-1]
    assert found.loss == pytest.approx(sum(losses) / n)
    assert found.certainty == pytest.approx(sum(certainties) / n)
    assert found.calibration_error == pytest.approx(slow_calibration_error(confidences, chosen, 15))
    assert found.ei_ratio == (pytest.approx(sum(ratios) / len(ratios)) if kind == "tide" else None)
    assert (found.certainty_never_falls, found.loss_never_rises) == pytest.approx((rising / n, falling / n))
    assert found.oracle_accuracy == pytest.approx(sum(oracle) / n)
    assert found.hedging == pytest.approx((sum(oracle) - sum(chosen)) / n)
    assert found.answering_ticks == pytest.approx([count / n for count in answered])
    assert found.answering_tick == pytest.approx(sum((t + 1) * count for t, count in enumerate(answered)) / n)
    assert found.loss_most_certain == pytest.approx(sum(costs_there) / n)
    assert len(found.loss_per_tick) == len(found.certainty_per_tick) == 4
    assert sum(found.certainty_per_tick) <= 4 * found.certainty


@pytest.mark.parametrize("kind", KINDS)
def test_joined_answers_of_batches_are_those_of_all_images_in_order(tiny_model, split, kind):
    model, some = tiny_model(kind=kind).eval(), torch.tensor([0, 2, 3])
    with torch.no_grad():
        whole = Answers.of(model(to_float(split.images)), split.labels, torch.arange(7), model.config.output, some)
        parts = [
            Answers.of(
                model(to_float(split.images[part])),
                split.labels[part],
                torch.arange(7)[part],
                model.config.output,
                some,
            )
            for part in (slice(0, 2), slice(2, 3), slice(3, 7))
        ]
    collected = collect_answers(model, split, batch=3, classes=some)
    shared = Answers.merge(
        [collect_answers(model, split, batch=2, positions=torch.arange(rank, 7, 3), classes=some) for rank in range(3)]
    )
    for joined in (Answers.join(parts), collected, shared):
        for field in fields(Answers):
            expected, found = getattr(whole, field.name), getattr(joined, field.name)
            assert (found is None) == (expected is None) == (field.name == "ratio" and kind != "tide")
            if expected is not None:
                torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(collected.labels, split.labels)


def test_answers_take_each_image_s_most_certain_tick_and_the_likeliest_class_of_every_tick():
    answers = Answers(
        positions=torch.arange(2),
        labels=torch.tensor([2, 0]),
        predicted=torch.tensor([[0, 2, 1], [0, 1, 0]]),
        certainty=torch.tensor([[0.1, 0.8, 0.8], [0.5, 0.2, 0.4]]),
        confidence=torch.tensor([[0.4, 0.9, 0.9], [0.7, 0.6, 0.6]]),
        losses=torch.zeros(2, 3),
        ratio=None,
    )
    assert answers.correct.tolist() == [[False, True, False], [True, False, True]]
    assert answers.at_most_certain(answers.predicted).tolist() == [2, 0]  # the first of equals


def test_fewer_ticks_are_answered_as_if_there_were_no_more(tiny_model, split):
    model = tiny_model(kind="ctm").eval()
    short, long = collect_answers(model, split, ticks=2), collect_answers(model, split)
    assert short.predicted.shape == (7, 2)
    torch.testing.assert_close(short.losses, long.losses[:, :2], rtol=1e-12, atol=1e-13)


def test_a_perfect_list_emitted_over_ticks_does_not_hedge_and_half_a_list_is_half_right():
    output, labels = OutputConfig(classes=4, emitted=3), torch.tensor([[2, 0, 1], [2, 0, 1]])
    said = torch.tensor([[3, 2, 3, 0, 1, 3], [2, 2, 1, 3, 3, 0]])  # 3 is the blank; the second says 2, 1, 0
    logits = 20 * torch.nn.functional.one_hot(said, 4).double().transpose(1, 2)
    for rows, right in ((slice(1), 1.0), (slice(1, 2), 1 / 3), (slice(2), 2 / 3)):
        out = ThoughtOutput(logits[rows], torch.ones(2, 6)[rows])
        found = summarize(Answers.of(out, labels[rows], torch.arange(2)[rows], output))
        assert (found.oracle_accuracy, found.accuracy, found.hedging) == pytest.approx((right, right, 0.0))
    batch = SimpleNamespace(out=ThoughtOutput(logits, torch.ones(2, 6)), labels=labels)
    monitored = answer_quantities(batch, output)
    assert (monitored["oracle_accuracy"], monitored["hedging"]) == pytest.approx((2 / 3, 0.0))


@pytest.fixture(scope="module")
def halting_split() -> ImageSet:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (11, 1, 9, 9), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.randint(4, (11,), generator=generator), ("a", "b", "c", "d"))


def test_every_threshold_stops_each_image_at_its_first_sure_tick(tiny_model, halting_split):
    model = tiny_model(torch.float32)
    answers = collect_answers(model, halting_split)
    middle = float(answers.certainty[:, :-1].amax(1).median())  # half of the images stop before the last tick
    sweep = sweep_thresholds(model, halting_split, thresholds=(0.01, middle, 1.0), shown=middle, batch=4)
    for run in sweep.runs:
        stops, right = [], 0
        for certainty, predicted, label in zip(answers.certainty, answers.predicted, halting_split.labels, strict=True):
            threshold = 2.0 if run.threshold is None else run.threshold
            sure = [tick for tick, value in enumerate(certainty) if value >= threshold]
            stop = sure[0] if sure else len(certainty) - 1
            stops.append(stop + 1)
            right += int(predicted[: stop + 1][certainty[: stop + 1].argmax()] == label)
        assert run.mean_ticks == pytest.approx(sum(stops) / 11)
        assert run.accuracy == pytest.approx(right / 11)
        assert run.images_per_second > 0
        if run.threshold == middle:
            assert sweep.ticks.tolist() == stops
    assert 1 < sweep.ticks.double().mean() < 4  # otherwise this test would prove nothing
    assert sweep.runs[0].threshold is None
    assert sweep.runs[0].speed_up == 1.0


def test_easiest_stop_first_and_hardest_last_and_wrong():
    ticks, right = torch.tensor([3, 1, 2, 3, 1]), torch.tensor([True, True, True, False, False])
    sweep = HaltingSweep((), 0.9, ticks, torch.tensor([0, 0, 1, 1, 1]), right)
    assert sweep.easiest(3) == [1, 2, 0]
    assert sweep.hardest(3) == [3, 0, 2]
    assert stopping_shares(sweep, 2).tolist() == [[0.5, 0.0, 0.5], pytest.approx([1 / 3] * 3)]


def test_thinking_longer_goes_on_where_the_trained_thought_ends(tiny_model, halting_split):
    model = tiny_model(torch.float32)
    longer, answers = think_longer(model, halting_split, factor=3), collect_answers(model, halting_split)
    assert longer.trained_ticks == 4
    assert len(longer.fixed_tick) == len(longer.most_certain_so_far) == 12
    assert longer.fixed_tick[:4] == pytest.approx(answers.correct.double().mean(0).tolist())
    best = answers.at_most_certain(answers.correct).double().mean()
    assert longer.most_certain_so_far[3] == pytest.approx(float(best))
