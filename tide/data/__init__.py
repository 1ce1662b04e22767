"""Data sets: named ones, photos and drawn tasks, read, checked, downloaded, decoded, cropped and put into order.

Start with :mod:`tide.data.sets` (what a data set offers) and :mod:`tide.data.load` (from settings to a data set).
"""

from tide.data.decode import decode
from tide.data.drawn.sets import Draw, DrawnSamples, DrawnSet, DrawnTask, check_task, drawn_test
from tide.data.fetch import default_directory
from tide.data.load import Parts, load, open_photos, read_splits, read_test
from tide.data.named import fetch, names, status
from tide.data.orders import augment, batch_indices, derive_seed, hold_out
from tide.data.photos import PhotoFiles, PhotoSet, PhotoSource
from tide.data.sets import Batch, Decoding, ImageSet, LabelledSet, Splits, TrainingSet, statistics
from tide.data.shifted import load_test_photos
from tide.models.inputs import to_float

__all__ = [
    "Batch",
    "Decoding",
    "Draw",
    "DrawnSamples",
    "DrawnSet",
    "DrawnTask",
    "ImageSet",
    "LabelledSet",
    "Parts",
    "PhotoFiles",
    "PhotoSet",
    "PhotoSource",
    "Splits",
    "TrainingSet",
    "augment",
    "batch_indices",
    "check_task",
    "decode",
    "default_directory",
    "derive_seed",
    "drawn_test",
    "fetch",
    "hold_out",
    "load",
    "load_test_photos",
    "names",
    "open_photos",
    "read_splits",
    "read_test",
    "statistics",
    "status",
    "to_float",
]
