"""Walking on where an answer ended, with a model that knows the way but a few moves at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.config import OutputConfig
from tide.data.drawn.mazes import END, draw_mazes, shortest_route
from tide.evaluate.answers import walk_on
from tide.types import ThoughtOutput

MOVES, TICKS = 4, 3


class Guide(nn.Module):
    """Answers the first moves of the shortest way, or of none where it is lost, at its most certain tick only."""

    def __init__(self, lost_after: int | None = None) -> None:
        super().__init__()
        self.weight, self.lost_after, self.asked = nn.Parameter(torch.zeros(1)), lost_after, 0
        self.config = type("Config", (), {"output": OutputConfig(classes=5, positions=(MOVES,))})

    def forward(self, images: Tensor) -> ThoughtOutput:
        assert not self.training
        assert images.is_floating_point()
        self.asked += len(images)
        logits = torch.rand(len(images), 5, MOVES, TICKS)
        certainty = torch.tensor([0.1, 0.9, 0.2]).expand(len(images), -1)
        for k, image in enumerate((images * 255).byte()):
            route = (shortest_route(image) + [END] * MOVES)[:MOVES]
            if self.lost_after is not None:
                route = route[: self.lost_after] + [END] * (MOVES - self.lost_after)
            logits[k, route, torch.arange(MOVES), 1] = 9.0
        return ThoughtOutput(logits, certainty)


def test_the_goal_is_reached_after_as_many_answers_as_the_route_takes() -> None:
    mazes, routes = draw_mazes(12, 11, 120, torch.Generator().manual_seed(0))
    lengths = (routes != END).sum(1)
    guide, before = Guide().train(), mazes.clone()
    arrived = walk_on(guide, mazes, 5)
    wanted = torch.stack([lengths <= MOVES * (number + 1) for number in range(5)], 1)
    assert torch.equal(arrived, wanted)
    assert 0 < int(arrived[:, 0].sum()) < int(arrived[:, -1].sum())
    assert guide.training
    assert torch.equal(mazes, before)
    # Those that have arrived are not asked again.
    assert guide.asked == 12 + int((~wanted[:, :-1]).sum())


def test_who_ends_early_goes_on_more_slowly_and_who_never_moves_never_arrives() -> None:
    mazes, routes = draw_mazes(6, 7, 40, torch.Generator().manual_seed(1))
    lengths = (routes != END).sum(1)
    assert torch.equal(walk_on(Guide(lost_after=2), mazes, 4)[:, 3], lengths <= 8)
    assert not bool(walk_on(Guide(lost_after=0), mazes, 2).any())
