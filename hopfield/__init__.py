"""Hopfield memories: masks as minima of an energy function."""

from hopfield.descent import Schedule
from hopfield.dynamics import Settled, capacity, crosstalk, is_attractor, overlap, settle
from hopfield.file import load_memory, save_memory
from hopfield.literal import recover_literally
from hopfield.patterns import masks_of, pattern_of
from hopfield.recovery import Candidate, Entropy, Recovery, Step, recover
from hopfield.rules import (
    FORMS,
    RULES,
    BlockMemory,
    HopfieldMemory,
    layer_blocks,
    new_memory,
    quantised,
)

__all__ = [
    "FORMS",
    "RULES",
    "BlockMemory",
    "Candidate",
    "Entropy",
    "HopfieldMemory",
    "Recovery",
    "Schedule",
    "Settled",
    "Step",
    "capacity",
    "crosstalk",
    "is_attractor",
    "layer_blocks",
    "load_memory",
    "masks_of",
    "new_memory",
    "overlap",
    "pattern_of",
    "quantised",
    "recover",
    "recover_literally",
    "save_memory",
    "settle",
]
