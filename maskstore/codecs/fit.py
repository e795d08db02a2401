"""Finding the pull that makes a layer's flips cheapest to code. Only encoders do this.

One product after another: the strongest outer product of what the contexts so far leave
unexplained, rounded to whole numbers; then every number of all products goes up or down by one
where that shortens the code. That goes on while it pays for its own bytes.
"""

import numpy as np

from maskstore.codecs.counts import bits_of
from maskstore.codecs.pull import Pull
from maskstore.codecs.search import Search, Task

_PATIENCE = 2
"""Products in a row that may fail to pay before the search ends."""
_MAX_SWEEPS = 4
_LITTLE = 0.003
"""Share of the code that a sweep must save to be followed by another."""


def code_bits(task: Task, pull: Pull | None) -> float:
    """About how long the code of the layer is with a pull, the pull's own included."""
    if pull is None:
        kinds = task.flips.astype(np.int64) * task.sizes + task.size
        return bits_of(np.bincount(kinds.reshape(-1), minlength=2 * task.sizes))
    search = Search(task)
    search.become(pull)
    return bits_of(search.count().by_row(pull.cuts)) + pull.code_bits()


def fit_pull(task: Task, max_rank: int) -> Pull | None:
    """The best pull found, if any pays for itself."""
    best: Pull | None = None
    best_bits = code_bits(task, None)
    search = Search(task)
    first, failed, width = 0.0, 0, 0
    while failed < _PATIENCE and len(search.rows) < max_rank:
        strength = search.grow(first)
        first = first or strength
        search.sweep(width)
        pull, bits = search.pull()
        width = pull.width
        if bits < best_bits:
            best, best_bits, failed = pull, bits, 0
        else:
            failed += 1
    if best is None:
        return None
    search.become(best)
    for _ in range(_MAX_SWEEPS):
        search.sweep(best.width)
        pull, bits = search.pull()
        gain = best_bits - bits
        if gain > 0:
            best, best_bits = pull, bits
        if gain < _LITTLE * best_bits:
            break
    return best
