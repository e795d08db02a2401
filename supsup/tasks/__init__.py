"""What a task is, and the families of tasks made from a data set."""

from supsup.tasks.custom import DatasetTask, TensorTask
from supsup.tasks.family_images import load_family
from supsup.tasks.loader_task import LoaderTask
from supsup.tasks.protocol import TaskData
from supsup.tasks.recipe import TaskRecipe, family_names, is_own, own_family, task_family
from supsup.tasks.task import Task, make_task

__all__ = [
    "DatasetTask",
    "LoaderTask",
    "Task",
    "TaskData",
    "TaskRecipe",
    "TensorTask",
    "family_names",
    "is_own",
    "load_family",
    "make_task",
    "own_family",
    "task_family",
]
