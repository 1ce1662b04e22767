"""Batch normalisation in channels_last against PyTorch's in NCHW and against sums in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import replace_all_batch_norm_modules_
from torch.optim.swa_utils import update_bn

from tide.backbones.images import BasicBlock, CenterSurround
from tide.backbones.layers import BatchNorm, statistics_of_batches


def in_channels_last(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)


def norm(channels: int, dtype: torch.dtype = torch.float64) -> BatchNorm:
    made = BatchNorm(channels, dtype=dtype)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 3), channels=st.integers(1, 5), size=st.integers(2, 5), seed=st.integers(0, 99))
def test_values_gradients_and_running_statistics_are_those_of_pytorch(batch, channels, size, seed):
    torch.manual_seed(seed)
    found, x = norm(channels), in_channels_last(batch, channels, size, size + 1)
    expected = nn.BatchNorm2d(channels, dtype=torch.float64)
    expected.load_state_dict(found.state_dict())
    results = []
    for layer, images in ((found, x), (expected, x.contiguous())):
        images = images.detach().requires_grad_()
        for _ in range(2):
            out = layer(images)
        results.append([out, *torch.autograd.grad(out.sin().sum(), [images, *layer.parameters()]), *layer.buffers()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "options",
    [{"momentum": None}, {"momentum": 0.3}, {"track_running_stats": False}, {"affine": False}, {"eps": 0.1}],
    ids=str,
)
def test_whatever_users_set_is_followed_as_pytorch_does(options):
    found, expected = (kind(3, dtype=torch.float64, **options) for kind in (BatchNorm, nn.BatchNorm2d))
    for seed in range(3):
        torch.manual_seed(seed)
        x = in_channels_last(4, 3, 5, 5) + seed
        results = []
        for layer, images in ((found, x), (expected, x.contiguous())):
            images = images.detach().requires_grad_()
            out = layer(images)
            slopes = torch.autograd.grad(out.sin().sum(), [images, *layer.parameters()])
            results.append([out, *slopes, *layer.buffers()])
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.eval()(x), expected.eval()(x.contiguous()))


def test_statistics_may_be_taken_away_stopped_and_measured_anew():
    """``swa_utils.update_bn``, ``torch.func.replace_all_batch_norm_modules_``, and the flag alone."""
    batches = [in_channels_last(4, 3, 5, 5) + shift for shift in range(3)]
    layer = norm(3)
    update_bn(batches, layer)
    torch.testing.assert_close(layer.running_mean, torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(0))
    before, layer.track_running_stats = layer.running_mean.clone(), False
    layer.train()(batches[0])
    assert torch.equal(layer.running_mean, before)
    replace_all_batch_norm_modules_(layer)
    assert layer.train()(batches[0]).isfinite().all()


@pytest.mark.parametrize("frozen", ["nothing", "images", "parameters"])
def test_gradcheck_once_and_twice(frozen):
    torch.manual_seed(0)
    layer = norm(3)
    given = [in_channels_last(2, 3, 2, 3).requires_grad_(frozen != "images")]
    given += [p.detach().requires_grad_(frozen != "parameters") for p in layer.parameters()]

    def normalise(images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(copy.deepcopy(layer), parameters, (images,))

    assert torch.autograd.gradcheck(normalise, given)
    assert torch.autograd.gradgradcheck(normalise, given)


def test_in_float32_it_is_as_exact_as_nchw():
    """PyTorch's own in channels_last errs by 8e-5 here: rectified features have a mean far from zero."""
    torch.manual_seed(0)
    layer, x = norm(32, torch.float32), in_channels_last(64, 32, 28, 28, dtype=torch.float32).relu()
    exact, slope = copy.deepcopy(layer).double(), torch.randn_like(x)
    errors = []
    x, wide = x.requires_grad_(), x.detach().double().contiguous().requires_grad_()
    out, expected = layer(x), nn.BatchNorm2d.forward(exact, wide)
    gradients = torch.autograd.grad(out, [x, *layer.parameters()], slope)
    expected_gradients = torch.autograd.grad(expected, [wide, *exact.parameters()], slope.double())
    for ours, theirs in zip([out, *gradients], [expected, *expected_gradients], strict=True):
        errors.append(((ours.detach().double() - theirs.detach()).norm() / theirs.detach().norm()).item())
    assert max(errors[:2]) < 3e-7  # features and their gradients
    assert max(errors[2:]) < 1e-5  # gain and offset, whose gradients PyTorch adds up


@pytest.mark.parametrize("make", [lambda: BasicBlock(8, 8, 1), lambda: CenterSurround(8, 8, 3, 5)])
def test_units_are_as_exact_in_either_order(make):
    """The deep field and the ResNets take images in the order in which they come."""
    torch.manual_seed(0)
    unit, x = make(), torch.randn(64, 8, 28, 28).relu()
    exact = copy.deepcopy(unit).double()(x.double())
    for order in (torch.contiguous_format, torch.channels_last):
        found = copy.deepcopy(unit)(x.contiguous(memory_format=order)).double()
        assert (found - exact).norm() < 1e-6 * exact.norm()


def test_one_value_per_channel_has_no_deviation():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(3)(in_channels_last(1, 3, 1, 1))


def test_statistics_of_batches_undo_a_scale_and_a_shift_and_leave_the_layer_alone():
    torch.manual_seed(0)
    model = nn.Sequential(norm(3), nn.Identity(), nn.BatchNorm2d(3, dtype=torch.float64)).eval()
    before, x = copy.deepcopy(model.state_dict()), in_channels_last(5, 3, 4, 4)
    with statistics_of_batches(model):
        centred = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
        first = centred * model[0].weight[:, None, None] + model[0].bias[:, None, None]
        torch.testing.assert_close(model[:2](x), first)
        torch.testing.assert_close(model(1e3 * x + 5), model(1e3 * x))
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.allclose(model(x + 5), model(x))
