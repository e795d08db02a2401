"""The paper's comparison and its peers: continual learners that train weights, one interface."""

from maskstore.registry import Registry, registry_of
from supsup.baselines.base import Baseline, BaselineConfig
from supsup.baselines.batche import BatchE
from supsup.baselines.evaluate import evaluate_baseline, learn_and_measure
from supsup.baselines.ewc import Ewc
from supsup.baselines.icarl import Icarl
from supsup.baselines.lower_bound import LowerBound
from supsup.baselines.packnet import PackNet
from supsup.baselines.psp import Psp
from supsup.baselines.psp_rotation import PspRotation
from supsup.baselines.replay import Replay
from supsup.baselines.separate_heads import SeparateHeads
from supsup.baselines.separate_heads_random import SeparateHeadsRandom
from supsup.baselines.upper_bound import UpperBound
from supsup.baselines.wsn import Wsn

__all__ = [
    "BASELINES",
    "Baseline",
    "BaselineConfig",
    "BatchE",
    "Ewc",
    "Icarl",
    "LowerBound",
    "PackNet",
    "Psp",
    "PspRotation",
    "Replay",
    "SeparateHeads",
    "SeparateHeadsRandom",
    "UpperBound",
    "Wsn",
    "evaluate_baseline",
    "learn_and_measure",
]

BASELINES: Registry[type[Baseline]] = registry_of(
    "baseline",
    (
        UpperBound,
        LowerBound,
        SeparateHeads,
        SeparateHeadsRandom,
        BatchE,
        Psp,
        PspRotation,
        Ewc,
        Icarl,
        Replay,
        PackNet,
        Wsn,
    ),
)
"""Name → class; each is made with a backbone and a configuration, and takes options of its own."""
