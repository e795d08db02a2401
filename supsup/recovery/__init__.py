"""A network and its Hopfield memory: encode, recover, set beside explicit storage."""

from supsup.recovery.compare import (
    Run,
    Sizes,
    compare_family,
    compare_seed,
    comparison_json,
    recover_all,
)
from supsup.recovery.encode import encode_archive
from supsup.recovery.images import recovery_images
from supsup.recovery.mask_entropy import MaskEntropy
from supsup.recovery.mask_memory import KnownTask, MaskMemory
from supsup.recovery.report import Recovered, recover_from, recovery_json

__all__ = [
    "KnownTask",
    "MaskEntropy",
    "MaskMemory",
    "Recovered",
    "Run",
    "Sizes",
    "compare_family",
    "compare_seed",
    "comparison_json",
    "encode_archive",
    "recover_all",
    "recover_from",
    "recovery_images",
    "recovery_json",
]
