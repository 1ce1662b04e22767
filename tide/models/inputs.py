"""What a model accepts: images, or a feature map where there is no backbone."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.config import FeatureMapConfig, ModelConfig
from tide.errors import InputError

SMALLEST = 8  # pixels; a smaller image has no room for the convolutions


def check_inputs(images: Tensor, config: ModelConfig) -> None:
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
        channels, smallest = config.input.channels, SMALLEST
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
    if not bool(images.isfinite().all()):
        raise InputError("images hold NaN or infinite pixels, finite ones are wanted: clean the data")
