"""ResNet-18, feature maps, trunks, convolutions, symbols and questions."""

from __future__ import annotations

import math

import pytest
import torch

from tide.backbones.images import BasicBlock, Convolutions, FeatureMap, ResNet18, ResNetTrunk
from tide.backbones.layers import RotationalPositions, sinusoidal_positions, sinusoidal_sequence
from tide.backbones.sequences import QuestionBackbone, Symbols
from tide.config import (
    ConvolutionsConfig,
    FeatureMapConfig,
    QuestionsConfig,
    ResNetConfig,
    ResNetTrunkConfig,
    SymbolsConfig,
)
from tide.config.io import from_dict
from tide.errors import ConfigError, InputError
from tide.models.thinker import Thinker


def backbone(channels: int = 1, features: int = 8, grid: int = 4) -> ResNet18:
    torch.manual_seed(0)
    return ResNet18(channels, ResNetConfig(features=features, grid=grid)).eval()


@pytest.mark.parametrize("channels", [1, 3])
def test_parameters_are_those_of_its_convolutions_and_batch_norms(channels):
    found = sum(p.numel() for p in backbone(channels, features=20).parameters())
    count = channels * 64 * 9 + 2 * 64
    inputs = 64
    for width, changes in ((64, False), (128, True), (256, True), (512, True)):
        count += inputs * width * 9 + 3 * width * width * 9 + 4 * 2 * width
        count += (inputs * width + 2 * width) * changes  # the projected skip
        inputs = width
    # The published network for 32-pixel RGB images has 11,173,962 with its last layer, 512 to 10 with bias.
    assert channels == 1 or count == 11_173_962 - 5_130
    assert found == count + 512 * 20 + 2 * 20


def test_any_image_of_8_pixels_or_more_gives_grid_squared_tokens():
    for (height, width), channels, grid in (((8, 8), 1, 8), ((9, 15), 3, 4), ((28, 28), 1, 8), ((33, 32), 3, 2)):
        tokens = backbone(channels, grid=grid)(torch.rand(2, channels, height, width))
        assert tokens.shape == (2, grid * grid, 8)
        assert tokens.isfinite().all()


def test_stages_keep_halve_halve_and_halve_the_image():
    net, sizes = backbone(), []
    for layer in net.layers:
        layer.register_forward_hook(lambda module, _, out: sizes.append((type(module).__name__, *out.shape[1:])))
    net(torch.rand(1, 1, 20, 32))
    stages = [(64, 20, 32)] * 2 + [(128, 10, 16)] * 2 + [(256, 5, 8)] * 2 + [(512, 3, 4)] * 2
    assert [size for name, *size in sizes if name == "BasicBlock"] == [list(stage) for stage in stages]
    assert sizes[0] == ("Conv2d", 64, 20, 32)
    assert sizes[-1] == ("AdaptiveAvgPool2d", 8, 4, 4)


@pytest.mark.parametrize(("inputs", "stride"), [(4, 1), (4, 2), (3, 1)])
def test_block_adds_what_it_was_given_projected_where_the_shape_changes(inputs, stride):
    torch.manual_seed(0)
    block = BasicBlock(inputs, 4, stride).eval()
    x = torch.randn(2, inputs, 6, 6)
    kept = x if (inputs, stride) == (4, 1) else block.skip(x)
    assert kept.shape == (2, 4, 6 // stride, 6 // stride)
    torch.testing.assert_close(block(x), torch.relu(kept + block.body(x)))
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.testing.assert_close(block(x), torch.relu(kept))


def test_tokens_run_row_by_row_and_carry_their_positions():
    net = backbone()
    torch.nn.init.zeros_(net.layers[-2].weight)
    tokens, positions = net(torch.rand(1, 1, 16, 16))[0], sinusoidal_positions(4, 4, 8)
    for row, column in ((0, 0), (1, 3), (3, 2)):
        torch.testing.assert_close(tokens[row * 4 + column], positions[:, row, column])


def test_answers_in_eval_mode_do_not_depend_on_the_batch():
    net, x = backbone(), torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["tide", "ctm", "lstm"])
def test_every_core_thinks_about_its_tokens(tiny_config, kind):
    base = tiny_config(kind=kind)
    config = from_dict(type(base), {"backbone": {"kind": "resnet18", "features": 8, "grid": 2}}, base=base)
    out = Thinker(config)(torch.rand(2, 1, 8, 8), record=("attention",), ticks=2)
    assert out.logits.shape == (2, 4, 2)
    assert out.trace["attention"].shape == (2, 2, 2, 4)


# No backbone


def test_a_feature_map_gives_every_place_as_a_token_row_by_row():
    features = torch.rand(2, 5, 3, 4)
    tokens = FeatureMap()(features)
    for b, row, column in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
        assert torch.equal(tokens[b, row * 4 + column], features[b, :, row, column])
    assert tokens.shape == (2, 12, 5)


def bare(tiny_config, kind: str) -> Thinker:
    base = tiny_config(kind=kind)
    return Thinker(from_dict(type(base), {"backbone": {"kind": "none", "features": 8}}, base=base)).eval()


@pytest.mark.parametrize("kind", ["tide", "ctm", "lstm"])
def test_a_model_without_backbone_reads_the_feature_map_as_it_is_at_any_size(tiny_config, kind):
    model = bare(tiny_config, kind)
    assert isinstance(model.config.backbone, FeatureMapConfig)
    for size in ((1, 1), (3, 5)):
        features = 4 * torch.randn(2, 8, *size)
        seen = []
        handle = model.backbone.register_forward_hook(lambda _, inputs, out, seen=seen: seen.append(inputs[0]))
        assert model(features).logits.shape == (2, 4, 4)
        handle.remove()
        assert torch.equal(seen[0], features)  # the pixels' mean and deviation do not apply


def test_a_feature_map_of_another_width_is_refused_in_one_line(tiny_config):
    with pytest.raises(InputError, match=r"must have shape \(B, 8, H, W\), got \(2, 1, 9, 9\).*no backbone") as caught:
        bare(tiny_config, "ctm")(torch.rand(2, 1, 9, 9))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("depth", "stages", "pixels", "tokens", "width"),
    [(34, 2, 39, 100, 128), (18, 1, 15, 64, 64), (18, 3, 39, 25, 256)],
)
def test_the_trunk_gives_as_many_tokens_as_its_last_stage_has_places(depth, stages, pixels, tokens, width):
    config = ResNetTrunkConfig(depth=depth, stages=stages)
    net = ResNetTrunk(3, config).eval()
    assert config.features == width
    assert net(torch.rand(2, 3, pixels, pixels)).shape == (2, tokens, width)


def test_parameters_of_the_trunk_are_those_of_the_published_networks():
    # But for their last layer, their stem of 7 x 7 and the map of three colours to three.
    published = {18: 11_689_512, 34: 21_797_672}
    for depth, total in published.items():
        found = sum(p.numel() for p in ResNetTrunk(3, ResNetTrunkConfig(depth=depth, stages=4)).parameters())
        assert found == total - (512 * 1000 + 1000) - 64 * 3 * (49 - 9) + 12


def test_convolutions_halve_once_and_carry_positions():
    torch.manual_seed(0)
    net, bare = (Convolutions(3, ConvolutionsConfig(features=8, layers=2, positions=on)).eval() for on in (True, False))
    bare.load_state_dict(net.state_dict())
    for height, width in ((9, 9), (15, 10)):
        images = torch.rand(2, 3, height, width)
        tokens, rows, columns = net(images), math.ceil(height / 2), math.ceil(width / 2)
        assert tokens.shape == (2, rows * columns, 8)
        positions = sinusoidal_positions(rows, columns, 8).flatten(1).t()
        torch.testing.assert_close(tokens, bare(images) + positions)


def test_sinusoidal_positions_of_a_sequence_are_those_of_a_loop():
    found = sinusoidal_sequence(7, 6)
    for place in range(7):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert found[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_rotational_positions_make_half_a_turn():
    positions = RotationalPositions(2)
    with torch.no_grad():
        positions.projection.weight.copy_(torch.eye(2))
        positions.projection.bias.zero_()
    expected = torch.tensor([[0.0, 1.0], [-math.sqrt(0.5), math.sqrt(0.5)], [-1.0, 0.0], [-(0.5**0.5), -(0.5**0.5)]])
    torch.testing.assert_close(positions(5)[:4], expected)
    torch.testing.assert_close(positions(5)[4], torch.tensor([0.0, -1.0]))
    torch.testing.assert_close(positions(1)[0], torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("positions", ["rotational", "sinusoidal"])
def test_a_symbol_is_its_embedding_and_its_place(positions):
    net = Symbols((-1.0, 1.0, 0.1), 5, SymbolsConfig(features=6, positions=positions))
    values = torch.tensor([[1.0, -1.0, 0.1, 1.0]])
    tokens = net(values)[0]
    places = net.positions(4) if positions == "rotational" else sinusoidal_sequence(4, 6)
    for k, number in enumerate((1, 0, 2, 1)):
        torch.testing.assert_close(tokens[k], net.embedding.weight[number] + places[k])
    torch.testing.assert_close(net.double()(values.double())[0].float(), tokens)


def test_each_digit_is_read_once_and_each_part_of_a_question_is_a_drive():
    net = QuestionBackbone(1, QuestionsConfig(features=6))
    digits, question = torch.rand(3, 4, 1, 9, 14), torch.tensor([[3, -1, 0], [1, -2, 2], [0, -2, 49]])
    tokens, drives = net(digits, question)
    assert [part.shape for part in tokens] == [(3, 2 * 3, 6)] * 4
    assert [part.shape for part in drives] == [(3, 6)] * 3
    assert int(net.digit[1].num_batches_tracked) == 4
    torch.testing.assert_close(drives[0], sinusoidal_sequence(50, 6)[[3, 1, 0]])
    torch.testing.assert_close(drives[1], net.operators.weight[[0, 1, 1]])
    torch.testing.assert_close(drives[2], sinusoidal_sequence(50, 6)[[0, 2, 49]])
    torch.testing.assert_close(net.eval()(digits, question)[0][2], net(digits[:, 2:3], question)[0][0])


@pytest.mark.parametrize(
    ("section", "settings", "told"),
    [
        (ResNetTrunkConfig, {"depth": 50}, "backbone.depth must be 18 or 34, got 50"),
        (ResNetTrunkConfig, {"stages": 5}, "backbone.stages must be at most 4, got 5"),
        (ConvolutionsConfig, {"features": 6}, "backbone.features must be a multiple of 4 .*, got 6"),
        (SymbolsConfig, {"features": 7, "positions": "sinusoidal"}, "backbone.features must be even .*, got 7"),
        (SymbolsConfig, {"positions": "fixed"}, "must be one of rotational, sinusoidal, learned, got 'fixed'"),
        (QuestionsConfig, {"features": 7}, "backbone.features must be even .*, got 7"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(section, settings, told):
    with pytest.raises(ConfigError, match=told):
        section(**settings)
