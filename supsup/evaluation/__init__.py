"""Accuracy of masks, with the task given, found, or known to nobody."""

from supsup.evaluation.inferred import evaluate_inferred
from supsup.evaluation.scenarios import GG, GNS, GNU, NNS, SCENARIOS, Scenario, parse_scenario
from supsup.evaluation.score import EVAL_BATCH, Evaluation, TaskAccuracy, accuracy, evaluate_gg

__all__ = [
    "EVAL_BATCH",
    "GG",
    "GNS",
    "GNU",
    "NNS",
    "SCENARIOS",
    "Evaluation",
    "Scenario",
    "TaskAccuracy",
    "accuracy",
    "evaluate_gg",
    "evaluate_inferred",
    "parse_scenario",
]
