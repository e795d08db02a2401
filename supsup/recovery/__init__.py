"""A network and its Hopfield memory: encode, recover, set beside explicit storage."""

from supsup.recovery.compare import Run, Sizes, compare_seed, comparison_json
from supsup.recovery.mask_entropy import MaskEntropy
from supsup.recovery.mask_memory import KnownTask, MaskMemory, encode_archive, open_memory
from supsup.recovery.report import recovery_json

__all__ = [
    "KnownTask",
    "MaskEntropy",
    "MaskMemory",
    "Run",
    "Sizes",
    "compare_seed",
    "comparison_json",
    "encode_archive",
    "open_memory",
    "recovery_json",
]
