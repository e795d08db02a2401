"""Supermasks over one frozen random network: backbones, mask training, evaluation."""

from supsup.errors import TrainingDiverged
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy, evaluate_gg
from supsup.networks.backbone import Backbone, build
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import NETS
from supsup.tasks.custom import LoaderTask, TensorTask
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig
from supsup.training.loop import Progress, TrainedMask, train

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
