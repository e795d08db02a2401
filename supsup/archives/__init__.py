"""A network and its archive together: make, train into, read back."""

from supsup.archives.network import backbone_of, check_recipe, create_archive, parse_device
from supsup.archives.tasks import tasks_of
from supsup.archives.training import (
    check_classes,
    iter_train_into,
    make_folder,
    missing_tasks,
    train_into,
    train_missing,
)

__all__ = [
    "backbone_of",
    "check_classes",
    "check_recipe",
    "create_archive",
    "iter_train_into",
    "make_folder",
    "missing_tasks",
    "parse_device",
    "tasks_of",
    "train_into",
    "train_missing",
]
