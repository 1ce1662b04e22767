"""Frosted glass: pixels moved to near places between two slight blurs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tide.corruptions.blur import smooth
from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.quantise import to_bytes
from tide.corruptions.tables import Row

Places = npt.NDArray[np.int32]


def glass_blur(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Blur by ``row[0]`` pixels, let each pixel take the value of one up to ``row[1]`` pixels away, blur again.

    The second step runs ``row[2]`` times over the image, from the last pixel to the first. As in the programs that
    made the published sets a pixel takes its neighbour's value and the neighbour keeps it: they mean to exchange the
    two, but the first write destroys what the second reads. The moves in both directions are uniform in
    -d, ..., d-1, where d is ``row[1]``, rounded, at least 1. The first d + 1 and the last d - 1 rows and columns stay.
    """
    _, channels, height, width = images.shape
    reach, rounds = max(1, round(row[1])), int(row[2])
    values = to_bytes(smooth(images, row[0])).reshape(len(images), channels, height * width)
    moves = (draws.uniform(rounds, 2, height, width) * (2 * reach)).astype(np.int32) - reach
    taken = np.empty_like(values)
    for target, image, both in zip(taken, values, moves, strict=True):
        np.take(image, origins(both, reach), axis=1, out=target, mode="clip")
    return smooth(taken.reshape(images.shape), row[0])


def origins(moves: Places, reach: int) -> Places:
    """Return from where each pixel has its value after all rounds.

    Args:
        moves: rows down and columns right from each pixel to its source, shape (rounds, 2, H, W); those of pixels
            that stay are not looked at.
        reach: the largest move.

    Returns:
        Flat places of pixels, shape (H*W,).
    """
    height, width = moves.shape[2:]
    own = np.arange(height * width, dtype=np.int32)
    inner = np.zeros((height, width), dtype=bool)
    inner[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    composed = own
    for down, right in moves:
        source = np.where(inner, own.reshape(height, width) + down * width + right, own.reshape(height, width)).ravel()
        # A source behind the pixel has had its turn and hands on what it took itself; one before it has not.
        # Instead of one pixel after another, all chains are followed at once, each step doubling their length.
        behind = (source > own) & inner.ravel()[source]
        ahead = np.where(behind, source, own)
        while True:
            further = ahead[ahead]
            if np.array_equal(further, ahead):
                break
            ahead = further
        composed = composed[source[ahead]]
    return composed
