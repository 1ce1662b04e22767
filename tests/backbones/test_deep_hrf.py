"""Deep HRF: shapes, its stages at the start, translations, and quarter turns of stage zero only."""

from __future__ import annotations

import pytest
import torch

from tide.backbones.images import BasicBlock, DeepHRF
from tide.config import DeepHRFConfig
from tide.models.presets import preset
from tide.models.thinker import Thinker

SMALL = DeepHRFConfig(width=4, blocks=2, grid=3)


def images(size: int = 32, batch: int = 2) -> torch.Tensor:
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
    assert backbone()(images(size)).shape == (2, 9, 32)


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
    features = model.stem(images())
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
        before = images(320, 1)
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
        x = images(33, 1)  # an odd size: a turn maps the places of a stride of two onto each other
        turned = torch.rot90(x, 1, (2, 3))
        zero, zero_turned = model.stem(x), model.stem(turned)
        torch.testing.assert_close(zero_turned, torch.rot90(zero, 1, (2, 3)))
        first, first_turned = model.stages[0](zero), model.stages[0](zero_turned)
    difference = (first_turned - torch.rot90(first, 1, (2, 3))).norm() / first.norm()
    assert difference > 0.05


def test_learned_kernels_do_not_follow_quarter_turns():
    model, x = backbone(), images(33, 1)
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
