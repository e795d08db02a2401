"""Loops of the codecs, compiled by numba: without Python's lock, so threads share the work.

They take NumPy arrays and know nothing of payloads. Import this only where a mask is coded: numba
takes a quarter of a second to load, which whoever only lists an archive should not wait for.
"""

from maskstore.codecs.kernels.bits import count_levels, sort_bits, take_runs, unsort_bits
from maskstore.codecs.kernels.contexts import count_contexts, look_up_levels, pull_rows
from maskstore.codecs.kernels.lengths import (
    cheapest_cuts,
    context_bits,
    count_numbers,
    image_moves,
    image_passes,
    plain_bits,
    plain_moves,
    scales,
)
from maskstore.codecs.kernels.search import (
    MIDDLE,
    add_product,
    cost_of_steps,
    count_places,
    fold_counts,
    look_up,
    steps_of,
    sweep_columns,
    sweep_rows,
)
from maskstore.codecs.kernels.tables import distances, follow, undo_distances

__all__ = [
    "MIDDLE",
    "add_product",
    "cheapest_cuts",
    "context_bits",
    "cost_of_steps",
    "count_contexts",
    "count_levels",
    "count_numbers",
    "count_places",
    "distances",
    "fold_counts",
    "follow",
    "image_moves",
    "image_passes",
    "look_up",
    "look_up_levels",
    "plain_bits",
    "plain_moves",
    "pull_rows",
    "scales",
    "sort_bits",
    "steps_of",
    "sweep_columns",
    "sweep_rows",
    "take_runs",
    "undo_distances",
    "unsort_bits",
]
