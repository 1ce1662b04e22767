"""The sheet of corrupted images shows what an evaluation sees."""

from __future__ import annotations

import numpy as np
import torch

from tests.corruptions.conftest import scenes
from tide.corruptions import corrupt
from tide.plots.robustness import draw_corruptions


def test_a_row_for_each_corruption_and_a_column_for_each_severity(tmp_path):
    images = scenes(2, 3, 32)
    figure = draw_corruptions(images, names=("snow", "contrast"), seed=4, indices=torch.tensor([7, 3]))
    assert len(figure.axes) == 2 * 6
    shown = np.asarray(figure.axes[5].images[0].get_array())
    wanted = torch.cat(list(corrupt(images, "snow", 5, seed=4, indices=torch.tensor([7, 3]))), dim=2)
    assert np.allclose(shown * 255, wanted.permute(1, 2, 0).numpy())
    figure.savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_gray_images_are_shown_gray():
    figure = draw_corruptions(scenes(1, 1, 28), names=("fog",))
    assert np.asarray(figure.axes[1].images[0].get_array()).shape == (28, 28)
