"""The corruptions of ImageNet-C, its smaller kin and MNIST-C for images of any size, the same for any batch."""

from tide.corruptions.batch import corrupt
from tide.corruptions.tables import CORRUPTIONS, EXTRA, MNIST_C, smallest
from tide.data.shifted import SEVERITIES

__all__ = ["CORRUPTIONS", "EXTRA", "MNIST_C", "SEVERITIES", "corrupt", "smallest"]
