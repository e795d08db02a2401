"""Data sets: where images come from."""

from supsup.datasets.base import ImageSet
from supsup.datasets.catalog import SOURCES, ArraySource
from supsup.datasets.idx import read_idx
from supsup.datasets.image_folder import ClassFolders
from supsup.datasets.in_memory import Dataset, load

__all__ = [
    "SOURCES",
    "ArraySource",
    "ClassFolders",
    "Dataset",
    "ImageSet",
    "load",
    "read_idx",
]
