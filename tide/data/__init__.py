"""Image data: named sets and photos, read, checked, downloaded, decoded, augmented and put into training order."""

from tide.data.augment import augment, to_float
from tide.data.batches import batch_indices, derive_seed
from tide.data.fetch import fetch, status
from tide.data.hold_out import hold_out
from tide.data.in_order import AnySplits, LabelledImages, in_order
from tide.data.layouts import load_test_photos
from tide.data.load import hub_place, load, open_photos, open_test_photos
from tide.data.photo import decode
from tide.data.photo_set import PhotoSet, PhotoSplits
from tide.data.photo_stream import PhotoStream
from tide.data.places import default_directory
from tide.data.registry import names
from tide.data.sets import ImageSet, Splits, statistics
from tide.data.source import PhotoFiles, PhotoSource
from tide.data.stream import PhotoBatch
from tide.data.stream_order import StreamOrder

__all__ = [
    "AnySplits",
    "ImageSet",
    "LabelledImages",
    "PhotoBatch",
    "PhotoFiles",
    "PhotoSet",
    "PhotoSource",
    "PhotoSplits",
    "PhotoStream",
    "Splits",
    "StreamOrder",
    "augment",
    "batch_indices",
    "decode",
    "default_directory",
    "derive_seed",
    "fetch",
    "hold_out",
    "hub_place",
    "in_order",
    "load",
    "load_test_photos",
    "names",
    "open_photos",
    "open_test_photos",
    "statistics",
    "status",
    "to_float",
]
