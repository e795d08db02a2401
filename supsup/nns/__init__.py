"""Scenario NNs: learning from a stream of batches whose task nobody names, not even in training."""

from supsup.nns.allocation import ALLOCATIONS, Allocation, Level, Uniform, Verdict, parse_allocation
from supsup.nns.kept import KeptLearner
from supsup.nns.learner import LearnedMask, Learner, Report
from supsup.nns.session import learn_into
from supsup.nns.stream import StreamBatch, task_stream

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "KeptLearner",
    "LearnedMask",
    "Learner",
    "Level",
    "Report",
    "StreamBatch",
    "Uniform",
    "Verdict",
    "learn_into",
    "parse_allocation",
    "task_stream",
]
