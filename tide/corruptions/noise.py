"""Noise of each value by itself: of light, of electronics, of transmission."""

from __future__ import annotations

import numpy as np

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row


def gaussian_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add normal noise of standard deviation ``row[0]``, white being 1: what a sensor does in little light."""
    noise = draws.normal(*images.shape[1:])
    noise *= np.float32(255 * row[0])
    noise += images
    return noise


def speckle_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add to each value normal noise in proportion to it, of standard deviation ``row[0]`` times the value."""
    noise = draws.normal(*images.shape[1:])
    noise *= np.float32(row[0])
    noise += 1
    noise *= images
    return noise


def shot_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Count photons: each value is Poisson distributed about itself, white being ``row[0]`` photons."""
    rates = np.arange(256) / 255 * row[0]
    noisy = np.empty(images.shape, np.float32)
    for target, image, generator in zip(noisy, images, draws, strict=True):
        target[:] = generator.poisson(rates[image])
    noisy *= np.float32(255 / row[0])
    return noisy


def impulse_noise(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Replace the share ``row[0]`` of the values by black or white with equal chance, each channel by itself."""
    fate = draws.uniform(*images.shape[1:])
    noisy = np.where(fate < np.float32(row[0]), np.uint8(255), images)
    noisy[fate < np.float32(row[0] / 2)] = 0
    return noisy
