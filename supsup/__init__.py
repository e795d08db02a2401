"""Supermasks over one frozen random network: backbones, mask training, evaluation.

Nothing is imported before it is asked for (:mod:`supsup._lazy`).

>>> from supsup import SupSup
>>> with SupSup.create("digits.h5", "lenet-300-100", outputs=10) as model:
...     (stored,) = model.train("split-mnist-sample", count=1, steps=30, quiet=True)
...     model.evaluate().accuracy > 0.9, list(model.tasks)
(True, ['split-mnist/0'])
"""

from typing import TYPE_CHECKING

from supsup._lazy import lazy_names

if TYPE_CHECKING:
    from supsup import (
        archives,
        baselines,
        checkpoints,
        cluster,
        demo,
        evaluation,
        figures,
        inference,
        merging,
        model,
        plots,
        recovery,
        report,
        task_free,
    )
    from supsup.errors import TrainingDiverged
    from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy, evaluate_gg
    from supsup.model import SupSup
    from supsup.networks.backbone import Backbone
    from supsup.networks.construct import build
    from supsup.networks.recipe import BackboneRecipe
    from supsup.networks.registry import NETS
    from supsup.tasks.custom import DatasetTask, TensorTask
    from supsup.tasks.loader_task import LoaderTask
    from supsup.tasks.protocol import TaskData
    from supsup.training.config import TrainConfig
    from supsup.training.loop import Progress, TrainedMask, train
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "supsup.errors": ("TrainingDiverged",),
            "supsup.evaluation.score": (
                "EVAL_BATCH",
                "Evaluation",
                "TaskAccuracy",
                "accuracy",
                "evaluate_gg",
            ),
            "supsup.model": ("SupSup",),
            "supsup.networks.backbone": ("Backbone",),
            "supsup.networks.construct": ("build",),
            "supsup.networks.recipe": ("BackboneRecipe",),
            "supsup.networks.registry": ("NETS",),
            "supsup.tasks.custom": ("DatasetTask", "TensorTask"),
            "supsup.tasks.loader_task": ("LoaderTask",),
            "supsup.tasks.protocol": ("TaskData",),
            "supsup.training.config": ("TrainConfig",),
            "supsup.training.loop": ("Progress", "TrainedMask", "train"),
        },
        modules=(
            "archives",
            "baselines",
            "checkpoints",
            "cluster",
            "demo",
            "evaluation",
            "figures",
            "inference",
            "merging",
            "model",
            "plots",
            "recovery",
            "report",
            "task_free",
        ),
    )

__all__ = [
    "EVAL_BATCH",
    "NETS",
    "Backbone",
    "BackboneRecipe",
    "DatasetTask",
    "Evaluation",
    "LoaderTask",
    "Progress",
    "SupSup",
    "TaskAccuracy",
    "TaskData",
    "TensorTask",
    "TrainConfig",
    "TrainedMask",
    "TrainingDiverged",
    "accuracy",
    "archives",
    "baselines",
    "build",
    "checkpoints",
    "cluster",
    "demo",
    "evaluate_gg",
    "evaluation",
    "figures",
    "inference",
    "merging",
    "model",
    "plots",
    "recovery",
    "report",
    "task_free",
    "train",
]
