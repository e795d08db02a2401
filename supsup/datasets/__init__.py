"""Data sets: where images come from."""

from supsup.datasets.base import ImageSet
from supsup.datasets.catalog import SOURCES, ArraySource
from supsup.datasets.idx import read_idx
from supsup.datasets.image_folder import ClassFolders
from supsup.datasets.in_memory import Dataset, load
from supsup.datasets.own_data import OwnData, read_own

__all__ = [
    "SOURCES",
    "ArraySource",
    "ClassFolders",
    "Dataset",
    "ImageSet",
    "OwnData",
    "load",
    "read_idx",
    "read_own",
]
