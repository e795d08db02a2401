"""How stored pictures become a network's inputs, at random in training."""

from supsup.data.augment.base import Augment
from supsup.data.augment.crop_flip import CropFlip
from supsup.data.augment.resized_crop import ResizedCropFlip

__all__ = ["Augment", "CropFlip", "ResizedCropFlip"]
