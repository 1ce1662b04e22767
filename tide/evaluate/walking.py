"""Mazes walked in several answers: each goes on where the one before it ended (Darlow et al., arXiv:2505.05522)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from tide.data.drawn.mazes import started_at, walk
from tide.evaluate.answers import evaluating
from tide.heads import at_tick, read_answers
from tide.inputs import to_float
from tide.models.thinker import Thinker


def walk_on(model: Thinker, mazes: Tensor, passes: int) -> Tensor:
    """Return whether the goal of mazes (B, 3, H, W), uint8, is reached after each of ``passes`` answers, (B, passes).

    A route answered at the most certain tick is walked up to its first ``end`` or wall; from there the model is asked
    again, without a memory of what came before. So a model can be tested on mazes larger, and routes longer, than
    those that it was trained on.
    """
    device = next(model.parameters()).device
    arrived = torch.zeros(len(mazes), passes, dtype=torch.bool)
    waiting = torch.arange(len(mazes))
    with evaluating(model), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="images are .* the model was made for")  # on purpose
        for number in range(passes):
            logits, certainty = model(to_float(mazes[waiting]).to(device)).answers()
            answer = read_answers(logits.cpu(), certainty.cpu(), model.config.output)
            walked = walk(mazes[waiting], at_tick(answer.classes, answer.certainty.argmax(1)))
            arrived[waiting[walked.arrived], number:] = True
            mazes = mazes.clone()
            mazes[waiting] = started_at(mazes[waiting], walked.places[:, -1])
            waiting = waiting[~walked.arrived]
            if len(waiting) == 0:
                break
    return arrived
