"""A network and its archive together: make, train into, read back.

Nothing is imported before it is asked for: to open an archive and predict needs no training.
"""

from typing import TYPE_CHECKING

from supsup._lazy import lazy_names

if TYPE_CHECKING:
    from supsup.archives.engine import Engine, LocalEngine
    from supsup.archives.evaluation import evaluate_archive, metrics_of_archive
    from supsup.archives.families import (
        TrainingReport,
        make_folder,
        train_family,
        train_missing,
        train_recipes,
    )
    from supsup.archives.inference import (
        bank_of,
        infer_file,
        inference_json,
        known_in,
        measure_prototypes,
    )
    from supsup.archives.network import backbone_of, check_recipe, create_archive, parse_device
    from supsup.archives.opening import NetworkOptions, open_or_create
    from supsup.archives.tasks import tasks_of
    from supsup.archives.training import check_classes, iter_train_into, missing_tasks, train_into
    from supsup.archives.trunk import train_trunk
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "supsup.archives.engine": ("Engine", "LocalEngine"),
            "supsup.archives.evaluation": ("evaluate_archive", "metrics_of_archive"),
            "supsup.archives.families": (
                "TrainingReport",
                "make_folder",
                "train_family",
                "train_missing",
                "train_recipes",
            ),
            "supsup.archives.inference": (
                "bank_of",
                "infer_file",
                "inference_json",
                "known_in",
                "measure_prototypes",
            ),
            "supsup.archives.network": (
                "backbone_of",
                "check_recipe",
                "create_archive",
                "parse_device",
            ),
            "supsup.archives.opening": ("NetworkOptions", "open_or_create"),
            "supsup.archives.tasks": ("tasks_of",),
            "supsup.archives.training": (
                "check_classes",
                "iter_train_into",
                "missing_tasks",
                "train_into",
            ),
            "supsup.archives.trunk": ("train_trunk",),
        },
    )

__all__ = [
    "Engine",
    "LocalEngine",
    "NetworkOptions",
    "TrainingReport",
    "backbone_of",
    "bank_of",
    "check_classes",
    "check_recipe",
    "create_archive",
    "evaluate_archive",
    "infer_file",
    "inference_json",
    "iter_train_into",
    "known_in",
    "make_folder",
    "measure_prototypes",
    "metrics_of_archive",
    "missing_tasks",
    "open_or_create",
    "parse_device",
    "tasks_of",
    "train_family",
    "train_into",
    "train_missing",
    "train_recipes",
    "train_trunk",
]
