"""Image data: named sets and photo folders, read, checked, downloaded, augmented and put into training order."""

from tide.data.augment import augment, to_float
from tide.data.batches import batch_indices, derive_seed
from tide.data.fetch import fetch, status
from tide.data.load import load
from tide.data.photo import decode
from tide.data.places import default_directory
from tide.data.registry import names
from tide.data.sets import ImageSet, Splits, statistics

__all__ = [
    "ImageSet",
    "Splits",
    "augment",
    "batch_indices",
    "decode",
    "default_directory",
    "derive_seed",
    "fetch",
    "load",
    "names",
    "statistics",
    "status",
    "to_float",
]
