"""Images, or a feature map where there is no backbone, as the input of a model."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor
from torch.nn import functional

from tide.config import FeatureMapConfig, ImageConfig, ModelConfig
from tide.errors import InputError

BRIGHTEST = 2.0  # a float pixel above is on the scale 0 to 255; what augmentation overshoots is below
FEATURE_MAP = 8  # rows and columns assumed of a feature map
SMALLEST = 8  # pixels; a smaller image has no room for the convolutions


def check(images: Tensor, config: ModelConfig, wanted: ImageConfig) -> None:
    """Raise :class:`InputError` unless ``images`` are what the model takes.

    With a backbone (B, channels, H, W), float, 8 x 8 pixels or more; without, a feature map (B, features, H, W) of any
    size.
    """
    if not isinstance(images, Tensor):
        raise InputError(f"images are a {type(images).__name__}, a torch.Tensor is wanted: torch.as_tensor(images)")
    if not images.is_floating_point():
        raise InputError(f"images are {images.dtype}, float in [0, 1] is wanted: images.float() / 255")
    if isinstance(config.backbone, FeatureMapConfig):
        channels, kind, smallest = config.backbone.features, "feature maps of this width: it has no backbone", 1
    else:
        channels, smallest = wanted.channels, SMALLEST
        kind = "grey images" if channels == 1 else "RGB images"
    if images.dim() != 4 or images.shape[1] != channels:
        raise InputError(
            f"images have shape {tuple(images.shape)}, (B, {channels}, H, W) is wanted: this model takes {kind}"
        )
    if min(images.shape[2:]) < smallest:
        raise InputError(
            f"images are {images.shape[2]}x{images.shape[3]} pixels, {smallest}x{smallest} or more are wanted: enlarge"
        )
    if images.shape[0] == 0:
        raise InputError("the batch holds 0 images, 1 or more are wanted")
    # Reading the answer back would break a compiled graph, where the check is left to the caller; torch's meta device
    # has no values.
    if torch.compiler.is_compiling() or images.is_meta:
        return
    low, high = torch.stack(images.detach().aminmax()).tolist()  # one read-back
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("images hold NaN or infinite pixels, finite ones are wanted: clean the data")
    if isinstance(config.backbone, FeatureMapConfig):
        return
    if high > BRIGHTEST:
        warnings.warn(f"pixels go up to {high:g}, [0, 1] is wanted: images / 255", stacklevel=5)
    if _of_another_size(images, wanted):
        warnings.warn(f"{_sizes(images, wanted)}: bring them to that size, on others it errs", stacklevel=5)


def fitted(images: Tensor, config: ModelConfig, wanted: ImageConfig) -> Tensor:
    """Return ``images`` at the size that the model was made for, with a warning where they have another.

    Scaled bilinearly with antialiasing. What is no batch of images is returned as it is, for :func:`check`.
    """
    bare = isinstance(config.backbone, FeatureMapConfig)
    if bare or not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        return images
    if not _of_another_size(images, wanted) or 0 in images.shape or min(images.shape[2:]) < SMALLEST:
        return images
    warnings.warn(f"{_sizes(images, wanted)}: they are scaled to that", stacklevel=5)
    size = (wanted.size, wanted.size)
    return functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def example(config: ModelConfig, wanted: ImageConfig, batch: int) -> Tensor:
    """Return black images, or feature maps of zeros."""
    if isinstance(config.backbone, FeatureMapConfig):
        return torch.zeros(batch, config.backbone.features, FEATURE_MAP, FEATURE_MAP)
    return torch.zeros(batch, wanted.channels, wanted.size, wanted.size)


def _of_another_size(images: Tensor, wanted: ImageConfig) -> bool:
    return tuple(images.shape[2:]) != (wanted.size, wanted.size)


def _sizes(images: Tensor, wanted: ImageConfig) -> str:
    height, width = images.shape[2:]
    return f"images are {height}x{width} pixels, the model was made for {wanted.size}x{wanted.size}"
