"""Hopfield memories: masks as minima of an energy function."""

from hopfield.dynamics import Settled, capacity, crosstalk, is_attractor, overlap, settle
from hopfield.file import load_memory, save_memory
from hopfield.patterns import masks_of, pattern_of
from hopfield.rules import RULES, HopfieldMemory

__all__ = [
    "RULES",
    "HopfieldMemory",
    "Settled",
    "capacity",
    "crosstalk",
    "is_attractor",
    "load_memory",
    "masks_of",
    "overlap",
    "pattern_of",
    "save_memory",
    "settle",
]
