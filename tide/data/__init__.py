"""Image data: named sets and photos, read, checked, downloaded, decoded, augmented and put into training order."""

from tide.data.augment import augment
from tide.data.drawn.named import NAMED
from tide.data.drawn.sets import DrawnSamples, DrawnSet, drawn_test
from tide.data.drawn.tasks import Draw, DrawnTask, check_task, register
from tide.data.hold_out import hold_out
from tide.data.hub.photo_stream import PhotoStream
from tide.data.load import load, open_photos, read_splits, read_test
from tide.data.named.fetch import fetch, status
from tide.data.named.places import default_directory
from tide.data.named.registry import names
from tide.data.orders import StreamOrder, batch_indices, derive_seed
from tide.data.photos.decode import decode
from tide.data.photos.photo_set import PhotoSet
from tide.data.photos.reading import Decoding
from tide.data.photos.sources import PhotoFiles, PhotoSource
from tide.data.sets import Batch, ImageSet, LabelledSet, Splits, TrainingSet, statistics
from tide.data.shifted.layouts import load_test_photos
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
    "PhotoFiles",
    "PhotoSet",
    "PhotoSource",
    "PhotoStream",
    "Splits",
    "StreamOrder",
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
    "register",
    "statistics",
    "status",
    "to_float",
]

for _name, _make in NAMED.items():
    register(_name, _make)
