"""Loops of the codecs, compiled by numba: without Python's lock, so threads share the work.

They take NumPy arrays and know nothing of payloads. Import this only where a mask is coded: numba
takes a quarter of a second to load, which whoever only lists an archive should not wait for.
"""

from maskstore.codecs.kernels.bits import count_levels, sort_bits, take_runs, unsort_bits
from maskstore.codecs.kernels.contexts import count_contexts, look_up_levels, pull_rows
from maskstore.codecs.kernels.search import (
    MIDDLE,
    SPAN,
    add_product,
    cost_of_steps,
    count_places,
    look_up,
    sweep_rows,
)
from maskstore.codecs.kernels.tables import distances, follow, undo_distances

__all__ = [
    "MIDDLE",
    "SPAN",
    "add_product",
    "cost_of_steps",
    "count_contexts",
    "count_levels",
    "count_places",
    "distances",
    "follow",
    "look_up",
    "look_up_levels",
    "pull_rows",
    "sort_bits",
    "sweep_rows",
    "take_runs",
    "undo_distances",
    "unsort_bits",
]
