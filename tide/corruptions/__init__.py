"""The corruptions of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C for images of any size, the same for any batch."""

from tide.corruptions.constants import CORRUPTIONS, EXTRA
from tide.corruptions.corrupt import SEVERITIES, corrupt

__all__ = ["CORRUPTIONS", "EXTRA", "SEVERITIES", "corrupt"]
