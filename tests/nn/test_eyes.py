"""Eyes that adapt, against loops over pixels; what they do not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tide
from tide.config.io import from_dict
from tide.config.model import ImageConfig
from tide.errors import ConfigError
from tide.nn.eyes import ADAPTATION_FLOOR, adapt, retina, surround_matrix


def images(channels: int = 1, height: int = 9, width: int = 11) -> torch.Tensor:
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) along both axes with Gaussians scaled by the side, pixel by pixel, edges repeated."""
    for axis in (0, 1):
        side = image.shape[axis]
        scaled = sigma * side / 28
        reach = max(1, math.ceil(1.6 * scaled))
        weights = {k: math.exp(-(k**2) / (2 * scaled**2)) for k in range(-reach, reach + 1)}
        lines = [
            sum(w * np.take(image, min(max(at + k, 0), side - 1), axis) for k, w in weights.items())
            / sum(weights.values())
            for at in range(side)
        ]
        image = np.stack(lines, axis)
    return image


@pytest.mark.parametrize("center", [0.0, 0.8])
def test_the_retina_equals_a_loop_over_pixels(center):
    given_images = images(2)
    found = retina(given_images, center, 2.5, 0.3).numpy()
    for b, c in np.ndindex(2, 2):
        x = given_images[b, c].numpy()
        d = (blurred(x, center) if center else x) - blurred(x, 2.5)
        np.testing.assert_allclose(found[b, c], d / np.sqrt(blurred(d**2, 2.5) + 0.09), rtol=1e-10, atol=1e-12)


def test_an_image_is_normalised_by_itself_all_channels_together_or_each():
    x = images(3)
    together, each = adapt(x), adapt(x, by_channel=True)
    for b in range(2):
        values = x[b].numpy()
        expected = (values - values.mean()) / (values.std() + ADAPTATION_FLOOR)
        np.testing.assert_allclose(together[b].numpy(), expected, rtol=1e-9)
        for c in range(3):
            expected = (values[c] - values[c].mean()) / (values[c].std() + ADAPTATION_FLOOR)
            np.testing.assert_allclose(each[b, c].numpy(), expected, rtol=1e-9)
    torch.testing.assert_close(adapt(x[:1]), together[:1])  # the other image is not looked at


@settings(max_examples=40, deadline=None)
@given(value=st.floats(0, 1), side=st.integers(8, 40), channels=st.sampled_from([1, 3]))
def test_a_flat_image_of_any_size_and_brightness_gives_zeros_and_finite_gradients(value, side, channels):
    x = torch.full((1, channels, side, side), value, dtype=torch.float64, requires_grad=True)
    for seen in (adapt(x), retina(x, 0.8, 2.5, 0.3), retina(adapt(x), 0.8, 2.5, 0.3)):
        assert seen.abs().max() < 1e-9
        (slope,) = torch.autograd.grad(seen.sum(), x, retain_graph=True)
        assert slope.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.floats(-0.5, 0.5))
def test_a_background_that_lights_up_is_not_seen(seed, shift):
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(adapt(x + shift), adapt(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(retina(x + shift, 0.8, 2.5, 0.3), retina(x, 0.8, 2.5, 0.3), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("side", [8, 28, 33])
def test_a_blur_keeps_sums_of_a_row_at_one(side):
    matrix = surround_matrix(side, 2.5)
    torch.testing.assert_close(matrix.sum(1), torch.ones(side, dtype=torch.float64))
    assert (matrix >= 0).all()


def test_gradcheck():
    x = images(1, 8, 8)[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda image: retina(adapt(image), 0.8, 2.5, 0.3), (x,), fast_mode=True)


@pytest.mark.parametrize("eyes", [{"normalise": "image"}, {"normalise": "image", "retina": {"enabled": True}}])
def test_a_model_with_such_eyes_answers_the_same_whatever_the_background(eyes):
    model = tide.create("digits", input=eyes, core={"ticks": 3}).eval()
    x = 0.5 * torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    plain = tide.create("digits", core={"ticks": 3}).eval()
    moved = [(one(x).logits - one(x + 0.4).logits).abs().max() for one in (model, plain)]
    assert moved[0] < 1e-5
    assert moved[1] > 100 * moved[0]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"normalise": "none"}, r"input\.normalise must be one of data, image, channel, got 'none'"),
        ({"retina": {"center": 3.0}}, r"input\.retina\.center must be below input\.retina\.surround = 2\.5, got 3"),
        ({"retina": {"floor": 0.0}}, r"input\.retina\.floor must be above 0, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings_, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(tide.Config, {"input": {"kind": "image", **settings_}})
    assert ImageConfig().normalise == "data"
