"""Accuracy of masks, with the task given, found, or known to nobody."""

from supsup.evaluation.scenarios import evaluate_gns, evaluate_gnu, evaluate_nns
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy, evaluate_gg

__all__ = [
    "EVAL_BATCH",
    "Evaluation",
    "TaskAccuracy",
    "accuracy",
    "evaluate_gg",
    "evaluate_gns",
    "evaluate_gnu",
    "evaluate_nns",
]
