"""The corruptions of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C for images of any size, the same for any batch."""

from tide.corruptions.batch import corrupt
from tide.corruptions.tables import CORRUPTIONS, EXTRA
from tide.data.shifted import SEVERITIES

__all__ = ["CORRUPTIONS", "EXTRA", "SEVERITIES", "corrupt"]
