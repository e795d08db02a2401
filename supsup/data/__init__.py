"""Data sets and the tasks made from them."""

from supsup.data.catalog import SOURCES
from supsup.data.class_folders import ClassFolders
from supsup.data.datasets import Dataset, load
from supsup.data.idx import read_idx
from supsup.data.imageset import ImageSet
from supsup.data.recipes import TaskRecipe, family_names, task_family
from supsup.data.tasks import Task, make_task

__all__ = [
    "SOURCES",
    "ClassFolders",
    "Dataset",
    "ImageSet",
    "Task",
    "TaskRecipe",
    "family_names",
    "load",
    "make_task",
    "read_idx",
    "task_family",
]
