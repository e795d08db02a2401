"""Finding the task of unlabelled data among thousands of packed masks."""

from supsup.inference.bank import MaskBank
from supsup.inference.choose import AUTO_OBJECTIVE, choose
from supsup.inference.evaluate import evaluate_gns, evaluate_gnu, evaluate_nns
from supsup.inference.infer import MODES, Inference, infer, infer_in
from supsup.inference.methods import (
    METHODS,
    Binary,
    Exhaustive,
    Hybrid,
    Logits,
    Method,
    OneShot,
)
from supsup.inference.objectives import (
    OBJECTIVES,
    Energy,
    Entropy,
    MaxProbability,
    Objective,
    Superfluous,
)
from supsup.inference.source import MaskSource, Progress, Resident, Streamed, load_masks

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
    "Progress",
    "Resident",
    "Streamed",
    "Superfluous",
    "choose",
    "evaluate_gns",
    "evaluate_gnu",
    "evaluate_nns",
    "infer",
    "infer_in",
    "load_masks",
]
