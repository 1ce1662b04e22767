"""Eyes that adapt: an image by its own luminance and contrast, and a retina of center-surround cells. Pure functions.

A retina adapts to the mean and the contrast of what it looks at, and its ganglion cells answer to the difference of a
center and a surround, divided by the contrast around them (Carandini and Heeger, Normalization as a canonical neural
computation, Nature Reviews Neuroscience 2012). No image is looked at but the one in hand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ADAPTATION_FLOOR = 0.05  # of pixels in [0, 1]: what is fainter than that is not made as strong as the rest
REFERENCE = 28  # pixels a side that the widths of center and surround are given for
REACH = 1.6  # deviations to which a Gaussian goes
TINY = 1e-12  # under a root, for a finite gradient at a flat image


def adapt(images: Tensor, *, by_channel: bool = False) -> Tensor:
    """Return images (B, channels, H, W) in [0, 1] less their own mean, over their own deviation + 0.05.

    All channels together, so that colours stay what they are to each other; or ``by_channel``, each by its own, so that
    the colour of the light is lost, too. A flat image becomes zeros.
    """
    over = (2, 3) if by_channel else (1, 2, 3)
    centred = images - images.mean(over, keepdim=True)
    deviation = (centred * centred).mean(over, keepdim=True).add(TINY).sqrt()
    return centred / (deviation + ADAPTATION_FLOOR)


def retina(images: Tensor, center: float, surround: float, floor: float) -> Tensor:
    """Return the local contrast of images (B, channels, H, W), channel by channel: d / √(G_s ∗ d² + floor²).

    d = G_c ∗ x − G_s ∗ x with Gaussians of the deviations ``center`` (0: the pixel itself) and ``surround``, in pixels
    of an image of 28 a side and scaled with others; edges are repeated. ``floor`` is in the units of x: contrasts far
    below it are not amplified. Exact for any size; a flat image becomes zeros.
    """
    blurs = [surround_matrix(side, surround).to(images) for side in images.shape[2:]]
    around = _blurred(images, *blurs)
    middle = images
    if center > 0:
        middle = _blurred(images, *(surround_matrix(side, center).to(images) for side in images.shape[2:]))
    difference = middle - around
    return difference / (_blurred(difference * difference, *blurs) + floor**2).sqrt()


def _blurred(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return rows @ images @ columns.T


def surround_matrix(side: int, sigma: float) -> Tensor:
    """Return the blur along one axis as a matrix (side, side), float64: rows sum to one, what lies outside is the edge.

    ``sigma`` is in pixels of an image of :data:`REFERENCE` a side.
    """
    sigma = sigma * side / REFERENCE
    reach = max(1, math.ceil(REACH * sigma))
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-offsets.double().square() / (2 * sigma**2))
    weights = weights / weights.sum()
    places = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
    return torch.zeros(side, side, dtype=torch.float64).scatter_add_(1, places, weights.expand(side, -1).contiguous())
