"""The sweep over thresholds gives what halting image by image gives; longer thought continues the trained one."""

from __future__ import annotations

import pytest
import torch

from tide.data import ImageSet
from tide.evaluate.answers import collect_answers
from tide.evaluate.halting import HaltingSweep, sweep_thresholds, think_longer
from tide.plots.halting import stopping_shares


@pytest.fixture(scope="module")
def split() -> ImageSet:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (11, 1, 9, 9), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.randint(4, (11,), generator=generator), ("a", "b", "c", "d"))


def test_every_threshold_stops_each_image_at_its_first_sure_tick(tiny_model, split):
    model = tiny_model(torch.float32)
    answers = collect_answers(model, split)
    middle = float(answers.certainty[:, :-1].amax(1).median())  # half of the images stop before the last tick
    sweep = sweep_thresholds(model, split, thresholds=(0.01, middle, 1.0), shown=middle, batch=4)
    for run in sweep.runs:
        stops, right = [], 0
        for certainty, predicted, label in zip(answers.certainty, answers.predicted, split.labels, strict=True):
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


def test_thinking_longer_goes_on_where_the_trained_thought_ends(tiny_model, split):
    model = tiny_model(torch.float32)
    longer, answers = think_longer(model, split, factor=3), collect_answers(model, split)
    assert longer.trained_ticks == 4
    assert len(longer.fixed_tick) == len(longer.most_certain_so_far) == 12
    assert longer.fixed_tick[:4] == pytest.approx(answers.correct.double().mean(0).tolist())
    best = answers.at_most_certain(answers.correct).double().mean()
    assert longer.most_certain_so_far[3] == pytest.approx(float(best))
