"""Finding the pull that makes a layer's flips cheapest to code. Only encoders do this.

One product after another: the strongest outer product of what the contexts so far leave
unexplained, rounded to whole numbers; then every number of all products goes up or down by one
where that shortens the code. That goes on while it pays for its own bytes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int32, Int64, UInt8

from maskstore.codecs.contextual.counts import CUT_LIMIT, REACH, Counts, bits_of, by_entry, chance
from maskstore.codecs.contextual.low_rank import STEPS, Pull
from maskstore.codecs.contextual.vectors import MAX_NUMBER, costs_of_moves, ideal_bits, widths_of

_POWER_STEPS = 5
_AMPLITUDE = 1.5
"""Root mean square of the first product's factors, in units; weaker products get less."""
_LEAST_AMPLITUDE = 0.5
_CUT_OFF = 2.0
_UNIT = 256
"""Costs are whole numbers of this share of a bit: sums are exact in any order."""
_HOPELESS = 8 * _UNIT
"""A number whose move would cost more than this is left out of the next sweep."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is to be explained.

    Attributes:
        flips: the bits to be coded.
        size: context of the size of the initial score, below ``sizes``.
        toward: 1 where a pull makes a flip likelier, 0 where it makes it less likely.
    """

    flips: UInt8[np.ndarray, "m n"]
    size: UInt8[np.ndarray, "m n"]
    toward: UInt8[np.ndarray, "m n"]
    sizes: int


class Search:
    """A pull while it grows, and where every weight stands under it."""

    def __init__(self, task: Task) -> None:
        """Start with no pull."""
        from maskstore.codecs.kernels import MIDDLE

        kinds = task.flips.astype(np.int32) * 2 + task.toward
        kinds = kinds * np.int32(task.sizes) + task.size
        self._task = task
        self._shift = (4 * task.sizes - 1).bit_length()
        self._blank: Int32[np.ndarray, "m n"] = kinds + np.int32(MIDDLE << self._shift)
        self.places = self._blank.copy()
        m, n = task.flips.shape
        self.rows: Int16[np.ndarray, "rank m"] = np.zeros((0, m), np.int16)
        self.columns: Int16[np.ndarray, "rank n"] = np.zeros((0, n), np.int16)
        self.cuts = (CUT_LIMIT,) * (STEPS - 1)
        # By how much the code would grow if a number moved, when that was last looked at.
        self._margins = np.zeros(self.rows.shape, np.int64), np.zeros(self.columns.shape, np.int64)

    def become(self, pull: Pull) -> None:
        """Go on from another pull."""
        self.rows = np.ascontiguousarray(pull.rows.T)
        self.columns = pull.columns.copy()
        self.cuts = pull.cuts
        self._margins = np.zeros(self.rows.shape, np.int64), np.zeros(self.columns.shape, np.int64)
        self.places = self._blank.copy()
        self._add(self.rows, self.columns)

    def count(self) -> Counts:
        """The weights by all that their code depends on."""
        from maskstore.codecs import kernels

        counts = np.zeros((2 * REACH + 1, 1 << self._shift), np.int64)
        kernels.count_places(self.places, counts, self._shift)
        by_kind = counts[:, : 4 * self._task.sizes].T.astype(np.float64)
        return Counts(by_kind.reshape(2, 2, self._task.sizes, -1))

    def pull(self) -> tuple[Pull, float]:
        """What was found so far, and the code length with it."""
        counts = self.count()
        self.cuts = cuts = counts.cuts(self.cuts)
        width = min(widths_of(self.columns.shape[1]), key=lambda w: ideal_bits(self.columns, w))
        pull = Pull(rows=self.rows.T.copy(), columns=self.columns.copy(), cuts=cuts, width=width)
        return pull, bits_of(counts.by_row(cuts)) + pull.code_bits()

    def grow(self, first: float) -> float:
        """Add the strongest product of what is unexplained; returns its strength.

        Args:
            first: strength of the first product, 0 if this is it.
        """
        from maskstore.codecs import kernels

        counts = self.count()
        cuts = counts.cuts(self.cuts)
        chances = chance(counts.by_row(cuts))
        if not len(self.rows):  # as if nobody knew which way a pull would work
            chances[:] = chance(counts.weights.sum(axis=(1, 3))[..., None])
        flip, toward = np.array([0.0, 1.0]).reshape(2, 1, 1, 1), np.array([[[-1.0]], [[1.0]]])
        unexplained = (flip - by_entry(chances, cuts)) * toward
        values = self._by_place(unexplained.astype(np.float32))
        left_over = np.empty(self.places.shape, np.float32)
        kernels.look_up(self.places, values, left_over)
        left, right, strength = _strongest(left_over, seed=len(self.rows))
        amplitude = _AMPLITUDE * float(np.sqrt(max(strength, 0.0) / first)) if first else _AMPLITUDE
        amplitude = max(amplitude, _LEAST_AMPLITUDE)
        row, column = _whole(left, amplitude)[None], _whole(right, amplitude)[None]
        self._add(row, column)
        self.rows = np.concatenate([self.rows, row])
        self.columns = np.concatenate([self.columns, column])
        self._margins = (
            np.concatenate([self._margins[0], np.zeros((1, len(left)), np.int64)]),
            np.concatenate([self._margins[1], np.zeros((1, len(right)), np.int64)]),
        )
        return strength

    def sweep(self, width: int) -> None:
        """Move every number by one where that shortens the code under today's table.

        Args:
            width: of the images that the columns are coded as.
        """
        from maskstore.codecs import kernels

        counts = self.count()
        cuts = counts.cuts(self.cuts)
        chances = by_entry(chance(counts.by_row(cuts)), cuts)
        cost = -np.log2(np.stack([1.0 - chances[0], chances[0]]))
        units = np.rint(cost * _UNIT).astype(np.int32).reshape(4 * self._task.sizes, -1)
        # A number moves by one at most, so nothing gets farther than this.
        sizes = np.abs(self.rows).max(axis=1) + 1, np.abs(self.columns).max(axis=1) + 1
        bound = int((sizes[0] * sizes[1]).sum())
        largest = int(max(each.max() for each in sizes))
        steps = kernels.cost_of_steps(np.ascontiguousarray(units.T), self._shift, bound, largest)
        own = _in_units(costs_of_moves(self.rows, 0))
        fixed = self._shift, steps, _HOPELESS
        kernels.sweep_rows(self.places, self.rows, self.columns, *own, self._margins[0], *fixed)
        turned = np.ascontiguousarray(self.places.T)
        own = _in_units(costs_of_moves(self.columns, width))
        kernels.sweep_rows(turned, self.columns, self.rows, *own, self._margins[1], *fixed)
        self.places = np.ascontiguousarray(turned.T)

    def _add(self, rows: Int16[np.ndarray, "k m"], columns: Int16[np.ndarray, "k n"]) -> None:
        from maskstore.codecs import kernels

        for left, right in zip(rows, columns, strict=True):
            kernels.add_product(self.places, left, right, self._shift)

    def _by_place(self, entries: np.ndarray) -> np.ndarray:
        """Values by flip, toward, size and entry as a table by place; the ends go on for ever."""
        from maskstore.codecs.kernels import MIDDLE, SPAN

        by_kind = entries.reshape(4 * self._task.sizes, -1).T
        values = np.zeros((SPAN, 1 << self._shift), entries.dtype)
        kinds = slice(by_kind.shape[1])
        values[: MIDDLE - REACH, kinds] = by_kind[0]
        values[MIDDLE - REACH : MIDDLE + REACH + 1, kinds] = by_kind
        values[MIDDLE + REACH + 1 :, kinds] = by_kind[-1]
        return values.reshape(-1)


def _in_units(
    costs: tuple[Float64[np.ndarray, "rank n"], Float64[np.ndarray, "rank n"]],
) -> tuple[Int64[np.ndarray, "rank n"], Int64[np.ndarray, "rank n"]]:
    up, down = (np.rint(each * _UNIT).astype(np.int64) for each in costs)
    return up, down


def _strongest(
    matrix: Float32[np.ndarray, "m n"], seed: int
) -> tuple[Float32[np.ndarray, " m"], Float32[np.ndarray, " n"], float]:
    """Leading singular vectors, each of root mean square 1, and the singular value, scaled."""
    right = np.random.default_rng(seed).standard_normal((matrix.shape[1],), np.float32)
    left = matrix @ right
    for _ in range(_POWER_STEPS):
        right = _normal(left @ matrix)
        left = _normal(matrix @ right)
    return left, right, float(left @ matrix @ right)


def _normal(vector: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
    norm = np.sqrt(np.mean(vector**2))
    return vector / norm if norm else vector


def _whole(vector: Float32[np.ndarray, " n"], amplitude: float) -> Int16[np.ndarray, " n"]:
    # Cut off above the root mean square: rare large factors cost more than they tell.
    limit = min(MAX_NUMBER, max(1, round(_CUT_OFF * amplitude)))
    return np.clip(np.rint(vector * amplitude), -limit, limit).astype(np.int16)


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
