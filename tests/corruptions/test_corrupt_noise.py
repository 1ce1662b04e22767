"""Noise has the mean and the variance that its definition gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tide.corruptions import corrupt
from tide.corruptions.tables import constants

LEVEL = 120  # far from black and white, so that little is cut off


def residuals(name: str, severity: int, side: int = 32, level: int = LEVEL) -> torch.Tensor:
    """Noise on an even grey; 0.5 makes up for rounding down."""
    images = torch.full((40, 3, side, side), level, dtype=torch.uint8)
    return corrupt(images, name, severity, seed=1).double() + 0.5 - level


@pytest.mark.parametrize("severity", range(1, 6))
def test_gaussian_noise(severity):
    noise = residuals("gaussian_noise", severity)
    deviation = 255 * constants("gaussian_noise", severity, 32)[0]
    assert float(noise.mean()) == pytest.approx(0, abs=5 * deviation / noise.numel() ** 0.5)
    assert float(noise.var()) == pytest.approx(deviation**2 + 1 / 12, rel=0.03)
    normal = (noise / deviation).flatten()
    assert float((normal**3).mean()) == pytest.approx(0, abs=0.05)
    assert float((normal**4).mean()) == pytest.approx(3, abs=0.15)
    flat = noise.flatten(1)
    correlation = torch.corrcoef(flat[:8])
    assert (correlation - torch.eye(8)).abs().max() < 0.08  # images are independent
    assert abs(float((noise[:, :, 1:] * noise[:, :, :-1]).mean())) < 0.02 * deviation**2  # so are neighbours
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 0.02 * deviation**2  # and channels


@pytest.mark.parametrize("severity", range(1, 6))
def test_speckle_noise_is_in_proportion(severity):
    for level in (40, 80, 120):
        noise = residuals("speckle_noise", severity, level=level)
        deviation = level * constants("speckle_noise", severity, 32)[0]
        assert float(noise.mean()) == pytest.approx(0, abs=0.15)
        assert float(noise.var()) == pytest.approx(deviation**2 + 1 / 12, rel=0.03)


@pytest.mark.parametrize(("severity", "side"), [(1, 32), (3, 32), (5, 32), (5, 64), (3, 224)])
def test_shot_noise_counts_photons(severity, side):
    (photons,) = constants("shot_noise", severity, side)
    counts = (residuals("shot_noise", severity, side)[: 40 if side < 224 else 4] + LEVEL) / 255 * photons
    clear = np.ceil(
        counts.numpy() - 1.0 * photons / 255
    )  # undoes the rounding down while photons are fewer than levels
    mean = LEVEL / 255 * photons
    if photons < 100:
        assert clear.mean() == pytest.approx(mean, rel=0.02)
        assert clear.var() == pytest.approx(mean, rel=0.1)
    assert float(counts.mean()) == pytest.approx(mean, rel=0.02)
    assert float(counts.var()) == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("severity", range(1, 6))
def test_impulse_noise_replaces_a_share_by_black_and_white(severity):
    share = constants("impulse_noise", severity, 32)[0]
    images = torch.full((80, 3, 32, 32), LEVEL, dtype=torch.uint8)
    noisy = corrupt(images, "impulse_noise", severity, seed=1)
    for level in (0, 255):
        assert float((noisy == level).double().mean()) == pytest.approx(share / 2, rel=0.1)
    changed = noisy != LEVEL
    assert torch.equal(changed, (noisy == 0) | (noisy == 255))
    both = float((changed[:, 0] & changed[:, 1]).double().mean())
    assert both == pytest.approx(share**2, rel=0.5, abs=3e-4)  # channels are independent
