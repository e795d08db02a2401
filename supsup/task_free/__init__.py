"""Scenario NNs: learning from a stream of batches whose task nobody names, not even in training."""

from supsup.task_free.allocation import (
    ALLOCATIONS,
    Allocation,
    Level,
    Prototypes,
    Uniform,
    Verdict,
    parse_allocation,
)
from supsup.task_free.checkpoint import LearnerCheckpoint, learn_into
from supsup.task_free.learner import LearnedMask, Learner, Report
from supsup.task_free.session import LearningReport, StreamConfig, learn_family
from supsup.task_free.stream import StreamBatch, task_stream

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "LearnedMask",
    "Learner",
    "LearnerCheckpoint",
    "LearningReport",
    "Level",
    "Prototypes",
    "Report",
    "StreamBatch",
    "StreamConfig",
    "Uniform",
    "Verdict",
    "learn_family",
    "learn_into",
    "parse_allocation",
    "task_stream",
]
