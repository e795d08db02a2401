"""Supermasks over one frozen random network: backbones, mask training, evaluation."""

from supsup.backbone import Backbone, build
from supsup.config import TrainConfig
from supsup.errors import TrainingDiverged
from supsup.evaluate import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy, evaluate_gg
from supsup.nets import NETS
from supsup.own_tasks import LoaderTask, TensorTask
from supsup.protocols import TaskData
from supsup.recipe import BackboneRecipe
from supsup.train import Progress, TrainedMask, train

__all__ = [
    "EVAL_BATCH",
    "NETS",
    "Backbone",
    "BackboneRecipe",
    "Evaluation",
    "LoaderTask",
    "Progress",
    "TaskAccuracy",
    "TaskData",
    "TensorTask",
    "TrainConfig",
    "TrainedMask",
    "TrainingDiverged",
    "accuracy",
    "build",
    "evaluate_gg",
    "train",
]
