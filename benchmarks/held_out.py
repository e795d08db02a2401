"""Training images that settings are chosen on, so that no reported figure chooses for itself."""

from dataclasses import replace

from supsup.datasets import ImageSet
from supsup.datasets.in_memory import Dataset


def validation_split(data: ImageSet) -> Dataset:
    """The data with the last sixth of its training images to test on, and its test images gone."""
    assert isinstance(data, Dataset)
    seen = 5 * len(data.train_images) // 6
    return replace(
        data,
        train_images=data.train_images[:seen],
        train_labels=data.train_labels[:seen],
        test_images=data.train_images[seen:],
        test_labels=data.train_labels[seen:],
    )
