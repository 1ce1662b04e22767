"""Shallow and deep hierarchical receptive fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests import slow
from tide.backbones.images import CENTERS, SURROUNDS, BasicBlock, CenterSurround, DeepHRF, ShallowHRF
from tide.backbones.layers import BatchNorm, sinusoidal_positions
from tide.config import DeepHRFConfig, HRFConfig
from tide.models.presets import preset
from tide.models.thinker import Thinker

BATCHNORM = 1 / math.sqrt(1 + 1e-5)  # of a fresh layer in eval mode


def unit(center: int = 3, surround: int = 5, *, init: str = "learned", stride: int = 1) -> CenterSurround:
    torch.manual_seed(0)
    return CenterSurround(2, 3, center, surround, init=init, stride=stride).double().eval()


def two_convolutions(cs: CenterSurround, x: torch.Tensor) -> torch.Tensor:
    """The unit as the paper writes it, without the merged kernel."""
    return cs.norm(torch.relu(cs.center_gain * cs.center(x) - cs.surround_gain * cs.surround(x)))


def images(size: int, channels: int = 2, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("init", ["learned", "difference_of_gaussians"])
def test_unit_equals_a_slow_rectified_difference_of_convolutions(init):
    cs, x = unit(init=init), images(7)
    assert (cs.center_gain.item(), cs.surround_gain.item()) == (1.0, 0.5)
    cs.center_gain.data.fill_(1.3)
    cs.surround_gain.data.fill_(0.9)
    kernels = cs.center.weight.detach().numpy(), cs.surround.weight.detach().numpy()
    found = cs(x).detach().numpy()
    for b in range(2):
        expected = BATCHNORM * slow.center_surround(x[b].numpy(), *kernels, 1.3, 0.9)
        np.testing.assert_allclose(found[b], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("center", "surround", "stride"), [(3, 5, 1), (5, 7, 2), (5, 11, 1)])
def test_one_convolution_has_the_values_and_gradients_of_two(center, surround, stride):
    cs, x = unit(center, surround, stride=stride).train(), images(9).requires_grad_()
    cs.surround_gain.data.fill_(0.9)
    inputs = [x, *cs.parameters()]
    outputs = [form(x) for form in (cs, lambda x: two_convolutions(cs, x))]
    weight = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-13)
    found, expected = (torch.autograd.grad(out, inputs, weight) for out in outputs)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_gradcheck_of_the_merged_kernel():
    cs = unit()
    parameters = (cs.center.weight, cs.surround.weight, cs.center_gain, cs.surround_gain)
    assert torch.autograd.gradcheck(lambda *_: cs.kernel(), parameters)


def test_the_backbone_has_the_tokens_and_gradients_of_plain_convolutions(tiny_model, monkeypatch):
    """Branches merged and all in channels_last, two convolutions each in NCHW: the same in float64."""
    backbone, x = tiny_model().backbone.train(), images(16, channels=1)
    found = backbone(x)
    monkeypatch.setattr(CenterSurround, "forward", lambda cs, x: two_convolutions(cs, x.contiguous()))
    monkeypatch.setattr(BatchNorm, "forward", lambda norm, x: nn.BatchNorm2d.forward(norm, x.contiguous()))
    expected = backbone(x)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    gradients = [torch.autograd.grad(out.sin().sum(), list(backbone.parameters())) for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)


def test_all_but_the_first_convolution_work_in_channels_last(tiny_model):
    """The order in which a CPU is fast; kept from the stem to the tokens."""
    backbone, seen = tiny_model().backbone, []
    norms = [module for module in backbone.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        )
    tokens = backbone(images(16, channels=1))
    assert seen == [True] * len(norms) == [True] * 12
    assert tokens.is_contiguous()


@pytest.mark.parametrize(("gain_center", "gain_surround"), [(1.0, 0.5), (1.0, 1.0), (0.5, 1.0)])
def test_difference_of_gaussians_answers_a_constant_image_by_the_difference_of_gains(gain_center, gain_surround):
    cs = unit(5, 9, init="difference_of_gaussians")
    cs.center_gain.data.fill_(gain_center)
    cs.surround_gain.data.fill_(gain_surround)
    for weight in (cs.center.weight, cs.surround.weight):
        torch.testing.assert_close(weight.sum((1, 2, 3)), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
    answer = cs(torch.full((1, 2, 16, 16), 0.6, dtype=torch.float64))[:, :, 4:-4, 4:-4]
    expected = max(0.0, gain_center - gain_surround) * 0.6 * BATCHNORM
    torch.testing.assert_close(answer, torch.full_like(answer, expected), rtol=0, atol=1e-6)


def test_difference_of_gaussians_mixes_channels_alike_in_center_and_wider_surround():
    cs = unit(5, 9, init="difference_of_gaussians")
    mixtures = []
    for conv, size in ((cs.center, 5), (cs.surround, 9)):
        weight, middle, sigma = conv.weight.detach(), size // 2, size / 4
        for row, column in ((middle, 0), (0, 1), (middle, middle)):
            falloff = math.exp(-((row - middle) ** 2 + (column - middle) ** 2) / (2 * sigma**2))
            torch.testing.assert_close(
                weight[:, :, row, column], falloff * weight[:, :, middle, middle], rtol=1e-6, atol=0
            )
        mixtures.append(weight.sum((2, 3)))
    torch.testing.assert_close(*mixtures, rtol=1e-6, atol=0)


@pytest.mark.parametrize("init", ["learned", "difference_of_gaussians"])
def test_unit_follows_translations_in_the_interior(init):
    cs, x = unit(5, 9, init=init), images(24)
    moved = cs(x.roll((3, -2), (2, 3)))
    inside = slice(8, 16)
    torch.testing.assert_close(moved[..., inside, inside], cs(x).roll((3, -2), (2, 3))[..., inside, inside])
    assert cs(x)[..., inside, inside].std() > 0.01


@pytest.mark.parametrize(("init", "equivariant"), [("difference_of_gaussians", True), ("learned", False)])
def test_unit_follows_quarter_turns_under_gaussian_kernels_only(init, equivariant):
    cs, x = unit(5, 9, init=init), images(12)
    turned, answer = cs(x.rot90(1, (2, 3))), cs(x).rot90(1, (2, 3))
    assert torch.allclose(turned, answer, rtol=1e-10, atol=1e-12) == equivariant


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 32])
def test_any_image_of_8_pixels_or_more_gives_64_tokens(channels, size):
    torch.manual_seed(0)
    backbone = ShallowHRF(channels, HRFConfig(width=4, branch_width=3, features=8))
    tokens = backbone(torch.rand(2, channels, size, size))
    assert tokens.shape == (2, 64, 8)
    assert tokens.isfinite().all()


def test_branches_have_the_stated_kernels_and_surrounds_are_wider():
    backbone = ShallowHRF(1, HRFConfig(width=4, branch_width=3, features=8))
    units = [branch[0] for branch in backbone.branches]
    assert [u.center.kernel_size[0] for u in units] == list(CENTERS) == [3, 3, 5, 5]
    assert [u.surround.kernel_size[0] for u in units] == list(SURROUNDS) == [5, 7, 9, 11]


def test_tokens_run_row_by_row_and_carry_their_positions():
    torch.manual_seed(0)
    backbone = ShallowHRF(1, HRFConfig(width=4, branch_width=3, features=8)).eval()
    last = backbone.aggregation[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    tokens = backbone(torch.rand(1, 1, 16, 16))[0]
    codes = []
    for coordinate in range(8):
        angles = [coordinate / 10_000 ** (k / 2) for k in range(2)]
        codes.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    centre = [sum(code[k] for code in codes) / 8 for k in range(4)]
    for row, column in ((0, 0), (2, 5), (7, 1)):
        expected = [value - mean for place in (row, column) for value, mean in zip(codes[place], centre, strict=True)]
        torch.testing.assert_close(tokens[row * 8 + column], torch.tensor(expected), rtol=1e-5, atol=1e-6)
    assert len(sinusoidal_positions(8, 8, 8).flatten(1).t().unique(dim=0)) == 64


def test_answers_in_eval_mode_do_not_depend_on_the_batch(tiny_model):
    backbone, x = tiny_model().backbone.eval(), images(16, channels=1, batch=3)
    torch.testing.assert_close(backbone(x)[1:2], backbone(x[1:2]), rtol=1e-12, atol=1e-13)


def test_tokens_are_standardised_before_the_positions_are_added():
    backbone = ShallowHRF(1, HRFConfig(width=4, branch_width=3, features=8)).train()
    tokens = backbone(torch.rand(16, 1, 16, 16)) - backbone.positions.flatten(1).t()
    torch.testing.assert_close(tokens.mean((0, 1)), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.var((0, 1), correction=0), torch.ones(8), atol=2e-3, rtol=0)


SMALL = DeepHRFConfig(width=4, blocks=2, grid=3)


def photos(size: int = 32, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def backbone(config: DeepHRFConfig = SMALL, seed: int = 0) -> DeepHRF:
    torch.manual_seed(seed)
    return DeepHRF(3, config).double().eval()


def test_a_photo_of_224_pixels_gives_196_tokens_of_512_with_the_paper_s_widths_and_strides():
    model = DeepHRF(3, DeepHRFConfig()).to("meta")
    features = model.stem(torch.empty(1, 3, 224, 224, device="meta"))
    shapes = [tuple(features.shape[1:])]
    for stage in model.stages[:-1]:
        features = stage(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 14, 14)]
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 196, 512)


@pytest.mark.parametrize("size", [16, 31, 40])
def test_any_image_of_16_pixels_or_more_gives_the_grid(size):
    assert backbone()(photos(size)).shape == (2, 9, 32)


def test_parameters_are_those_counted_by_hand():
    """Widths w, 2w, 4w, 8w: CS units k², (k + 2)² with two gains; blocks of two 3 x 3 convolutions; BatchNorms 2c."""
    w, count = 4, 0

    def center_surround(inputs: int, outputs: int) -> int:
        return (25 + 49) * inputs * outputs + 2 + 2 * outputs

    def block(inputs: int, outputs: int, stride: int) -> int:
        skip = inputs * outputs + 2 * outputs if stride != 1 or inputs != outputs else 0
        return 9 * inputs * outputs + 9 * outputs**2 + 4 * outputs + skip

    count += center_surround(3, w)
    for number, (inputs, outputs, stride) in enumerate(
        ((w, w, 2), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1))
    ):
        count += (center_surround(inputs, inputs) if number < 3 else 0) + block(inputs, outputs, stride)
        count += block(outputs, outputs, 1)
    assert sum(p.numel() for p in backbone().parameters()) == count


def test_every_residual_branch_starts_at_zero_so_a_stage_starts_as_its_shortcut():
    model = backbone()
    features = model.stem(photos())
    for stage in model.stages[:-1]:
        first, *rest = stage.blocks
        expected = torch.relu(first.skip(features))
        assert all(isinstance(block, BasicBlock) for block in rest)
        features = stage(features)
        torch.testing.assert_close(features, expected, rtol=0, atol=0)


def test_translation_by_the_total_stride_moves_the_features_in_the_interior():
    model = backbone(DeepHRFConfig(width=2, blocks=1, grid=3))
    with torch.no_grad():
        for parameter in model.parameters():  # away from the identity start
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        before = photos(320, 1)
        moved = torch.roll(before, (16, 32), (2, 3))
        a, b = (model.stages[:-1](model.stem(x)) for x in (before, moved))
    # The total stride is 16; the receptive field has a radius of 119 pixels, 8 places of the last map.
    torch.testing.assert_close(b[:, :, 9:-8, 10:-8], a[:, :, 8:-9, 8:-10])


def test_stage_zero_follows_quarter_turns_under_gaussian_kernels_and_the_later_stages_do_not():
    model = backbone(DeepHRFConfig(width=4, blocks=1, grid=3, init="difference_of_gaussians"))
    with torch.no_grad():
        for stage in model.stages[:-1]:
            for block in stage.blocks:
                block.body[-1].weight.fill_(1.0)
        x = photos(33, 1)  # an odd size: a turn maps the places of a stride of two onto each other
        turned = torch.rot90(x, 1, (2, 3))
        zero, zero_turned = model.stem(x), model.stem(turned)
        torch.testing.assert_close(zero_turned, torch.rot90(zero, 1, (2, 3)))
        first, first_turned = model.stages[0](zero), model.stages[0](zero_turned)
    difference = (first_turned - torch.rot90(first, 1, (2, 3))).norm() / first.norm()
    assert difference > 0.05


def test_learned_kernels_do_not_follow_quarter_turns():
    model, x = backbone(), photos(33, 1)
    with torch.no_grad():
        difference = model.stem(torch.rot90(x, 1, (2, 3))) - torch.rot90(model.stem(x), 1, (2, 3))
    assert difference.norm() / model.stem(x).norm() > 0.05


@pytest.mark.parametrize("name", ["imagenet.tiny", "ctm.imagenet.tiny", "lstm.imagenet.tiny"])
def test_the_tiny_presets_think(name):
    model = Thinker(preset(name).model)
    out = model(torch.rand(2, 3, 64, 64))
    assert out.logits.shape == (2, 1000, 8)
    out.logits.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
