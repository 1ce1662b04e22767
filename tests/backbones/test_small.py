"""Backbones of mazes, sequences and questions: shapes, positions and embeddings against obvious versions."""

from __future__ import annotations

import math

import pytest
import torch

from tide.backbones.images import Convolutions, ResNetTrunk
from tide.backbones.layers import RotationalPositions, sinusoidal_positions, sinusoidal_sequence
from tide.backbones.sequences import QuestionBackbone, Symbols
from tide.config import ConvolutionsConfig, QuestionsConfig, ResNetTrunkConfig, SymbolsConfig
from tide.errors import ConfigError


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
    net = Symbols((-1.0, 1.0, 0.1), SymbolsConfig(features=6, positions=positions))
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
        (SymbolsConfig, {"positions": "learned"}, "must be one of rotational, sinusoidal, got 'learned'"),
        (QuestionsConfig, {"features": 7}, "backbone.features must be even .*, got 7"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(section, settings, told):
    with pytest.raises(ConfigError, match=told):
        section(**settings)
