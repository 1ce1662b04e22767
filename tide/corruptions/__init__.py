"""The corruptions of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C for images of any size, the same for any batch."""

from tide.corruptions.batch import SEVERITIES, corrupt
from tide.corruptions.constants import CORRUPTIONS, EXTRA

__all__ = ["CORRUPTIONS", "EXTRA", "SEVERITIES", "corrupt"]
