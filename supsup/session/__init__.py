"""An archive and its network together: make, train into, evaluate, infer."""

from supsup.session.evaluation import bank_of, evaluate_archive, infer_file, known_in
from supsup.session.network import backbone_of, check_recipe, create_archive, parse_device
from supsup.session.prepared import make_folder, train_missing
from supsup.session.tasks import tasks_of
from supsup.session.training import check_classes, missing_tasks, train_into

__all__ = [
    "backbone_of",
    "bank_of",
    "check_classes",
    "check_recipe",
    "create_archive",
    "evaluate_archive",
    "infer_file",
    "known_in",
    "make_folder",
    "missing_tasks",
    "parse_device",
    "tasks_of",
    "train_into",
    "train_missing",
]
