"""Finding the task of unlabelled data among thousands of packed masks."""

from supsup.inference.auto import AUTO_OBJECTIVE, choose
from supsup.inference.bank import MaskBank
from supsup.inference.find_task import MODES, Inference, infer, infer_in
from supsup.inference.mask_source import MaskSource, Progress, Resident, Streamed, load_masks
from supsup.inference.methods import METHODS, Binary, Exhaustive, Hybrid, Logits, Method, OneShot
from supsup.inference.objectives import (
    OBJECTIVES,
    Energy,
    Entropy,
    MaxProbability,
    Objective,
    PaperG,
    Superfluous,
)
from supsup.inference.query import Query

__all__ = [
    "AUTO_OBJECTIVE",
    "METHODS",
    "MODES",
    "OBJECTIVES",
    "Binary",
    "Energy",
    "Entropy",
    "Exhaustive",
    "Hybrid",
    "Inference",
    "Logits",
    "MaskBank",
    "MaskSource",
    "MaxProbability",
    "Method",
    "Objective",
    "OneShot",
    "PaperG",
    "Progress",
    "Query",
    "Resident",
    "Streamed",
    "Superfluous",
    "choose",
    "infer",
    "infer_in",
    "load_masks",
]
