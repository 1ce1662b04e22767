"""Backbones for sequences of symbols and for questions over digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.backbones.layers import BatchNorm, RotationalPositions, as_tokens, sinusoidal_sequence
from tide.config import QuestionsConfig, ScheduleConfig, SequenceConfig, SymbolsConfig, register
from tide.nn.weights import held

# Sequences of symbols: a token for each.


@register("backbone", SymbolsConfig)
def _symbols(config: SymbolsConfig, input: SequenceConfig) -> nn.Module:
    return Symbols(input.alphabet, input.length, config)


class Symbols(nn.Module):
    """Symbols (B, L) → tokens (B, L, d_kv): a learned embedding of the symbol, and the position."""

    alphabet: Tensor

    def __init__(self, alphabet: tuple[float, ...], places: int, config: SymbolsConfig) -> None:
        """``alphabet``: the numbers that the symbols are written as; ``places``: how many can be learned."""
        super().__init__()
        self.register_buffer("alphabet", torch.tensor(alphabet), persistent=False)
        self.embedding = nn.Embedding(len(alphabet), config.features)
        self.positions = RotationalPositions(config.features) if config.positions == "rotational" else None
        self.places = nn.Embedding(places, config.features) if config.positions == "learned" else None

    def forward(self, values: Tensor) -> Tensor:
        """Return a token for each symbol; a value counts as the symbol that it is nearest to."""
        embedded: Tensor = self.embedding((values[..., None] - self.alphabet).abs().argmin(-1))
        if self.places is not None:
            return embedded + held(self.places)[0]
        length, width = embedded.shape[1:]
        positions = sinusoidal_sequence(length, width) if self.positions is None else self.positions(length)
        return embedded + positions.to(embedded)


# Digits and questions about them (QAMNIST; Darlow et al., arXiv:2505.05522), as the reference CTM embeds them.


PLACES = 50  # of digits, as many as the reference has embeddings for
OPERATORS = 2  # plus, written −1, and minus, written −2


@register("backbone", QuestionsConfig)
def _questions(config: QuestionsConfig, input: ScheduleConfig) -> nn.Module:
    return QuestionBackbone(input.channels, config)


class QuestionBackbone(nn.Module):
    """Digits (B, n, channels, H, W) → tokens of each (B, N, d_kv), a question (B, Q) → drives for its parts (B, d_kv).

    A digit passes two 3 x 3 convolutions with BatchNorm, ReLU and max-pooling: N = ⌊H/4⌋ ⌊W/4⌋. Places of digits have
    fixed sinusoidal embeddings, operators learned ones.
    """

    places: Tensor

    def __init__(self, channels: int, config: QuestionsConfig) -> None:
        super().__init__()
        width = config.features
        self.digit = nn.Sequential(*_level(channels, width), *_level(width, width))
        self.register_buffer("places", sinusoidal_sequence(PLACES, width))
        self.operators = nn.Embedding(OPERATORS, width)

    def forward(self, digits: Tensor, question: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return tokens digit by digit and drives part by part.

        Each digit is a batch of its own to BatchNorm, as in the reference, which sees one after the other.
        """
        tokens = [as_tokens(self.digit(digit)) for digit in digits.unbind(1)]
        embeddings = torch.cat((self.places, held(self.operators)[0]))
        # A place k is row k, an operator −1 or −2 a row after the places.
        rows = torch.where(question >= 0, question, PLACES - 1 - question)
        return tokens, [embeddings[part] for part in rows.unbind(1)]


def _level(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), BatchNorm(outputs), nn.ReLU(), nn.MaxPool2d(2)
