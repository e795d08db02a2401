"""Finding the pull that makes a layer's flips cheapest to code. Only encoders do this.

Some products at a time: the strongest outer products of what the contexts so far leave
unexplained, as many as stand out of noise, rounded to whole numbers; then every number of all
products goes up or down by one where that shortens the code. That goes on while it pays.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int32, Int64, UInt8

from maskstore.codecs.contextual.counts import CUT_LIMIT, REACH, Counts, bits_of, by_place, chance
from maskstore.codecs.contextual.low_rank import HEAD_BITS, STEPS, Pull
from maskstore.codecs.contextual.vectors import MAX_NUMBER, costs_of_moves, ideal_bits, widths_of
from maskstore.parallel import product_here

_ITERATIONS = 2
_TOGETHER = 5
"""Products that are added at a time, at most …"""
_SPARE = 3
"""… and how many more are iterated with them, so that those converge."""
_STANDS_OUT = 1.3
"""Strength of a product that is added beside another, over the strongest that noise has."""
_AMPLITUDE = 1.7
"""Root mean square of the first product's factors, in units; weaker products get less."""
_LEAST_AMPLITUDE = 0.5
_CUT_OFF = 2.2
_ROUNDING = 1e-6
"""Of squares in float32, relative to the largest."""
_UNIT = 256
"""Costs are whole numbers of this share of a bit: sums are exact in any order."""
_HOPELESS = 4 * _UNIT
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
        self._cuts = (CUT_LIMIT,) * (STEPS - 1)
        self._counts: Counts | None = None
        # By how much the code would grow if a number moved, when that was last looked at.
        self._margins = np.zeros(self.rows.shape, np.int64), np.zeros(self.columns.shape, np.int64)

    def become(self, pull: Pull | None) -> None:
        """Go on from another pull, or from none."""
        self.rows, self.columns = self.rows[:0], self.columns[:0]
        self._margins = self._margins[0][:0], self._margins[1][:0]
        self.places = self._blank.copy()
        self._counts = None
        if pull is not None:
            self._cuts = pull.cuts
            self._add(np.ascontiguousarray(pull.rows.T), pull.columns)

    def count(self) -> Counts:
        """The weights by all that their code depends on."""
        from maskstore.codecs import kernels

        if self._counts is None:
            counts = np.zeros((2 * REACH + 1, 4 * self._task.sizes), np.int64)
            kernels.count_places(self.places, counts, self._shift)
            self._counts = Counts(counts)
            self._cuts = self._counts.cuts(self._cuts)
        return self._counts

    def pull(self) -> tuple[Pull, float]:
        """What was found so far, and the code length with it."""
        counts = self.count()
        columns = {w: ideal_bits(self.columns, w) for w in widths_of(self.columns.shape[1])}
        width = min(columns, key=lambda w: columns[w])
        rows, cuts = np.ascontiguousarray(self.rows.T), self._cuts
        pull = Pull(rows=rows, columns=self.columns.copy(), cuts=cuts, width=width)
        own = HEAD_BITS + ideal_bits(self.rows, 0) + columns[width]
        return pull, bits_of(counts.by_row(cuts)) + own

    def grow(self, first: float, most: int) -> float:
        """Add the strongest products of what is unexplained; returns the strength of the first.

        One at least; beside it those that stand out of what noise of the same size would have.

        Args:
            first: strength of the very first product, 0 if it is among these.
            most: how many products at most.
        """
        from maskstore.codecs import kernels

        counts = self.count()
        chances = chance(counts.by_row(self._cuts))
        if not len(self.rows):  # as if nobody knew which way a pull would work
            chances[:] = chance(counts.by_row(self._cuts).sum(axis=1, keepdims=True))
        unexplained = by_place(-chances, 1.0 - chances, self._cuts)
        sizes = self._task.sizes
        for against in (slice(sizes), slice(2 * sizes, 3 * sizes)):
            unexplained[:, against] *= -1.0
        left_over = np.empty(self.places.shape, np.float32)
        kernels.look_up(self.places, unexplained.astype(np.float32), left_over, self._shift)
        left, right, strengths = _strongest(left_over, most, seed=len(self.rows))
        noise = np.sqrt(np.mean(left_over**2)) * np.sqrt(left_over.shape).sum()
        chosen = max(1, int(np.count_nonzero(strengths > _STANDS_OUT * noise)))
        amplitudes = _AMPLITUDE * np.sqrt(strengths[:chosen] / (first or strengths[0]))
        amplitudes = np.maximum(amplitudes, _LEAST_AMPLITUDE)
        self._add(_whole(left[:chosen], amplitudes), _whole(right[:chosen], amplitudes))
        return float(strengths[0])

    def sweep(self, width: int) -> None:
        """Move every number by one where that shortens the code under today's table.

        Args:
            width: of the images that the columns are coded as.
        """
        from maskstore.codecs import kernels

        chances = chance(self.count().by_row(self._cuts))
        bits = by_place(-np.log2(1.0 - chances), -np.log2(chances), self._cuts)
        cost = np.rint(bits * _UNIT).astype(np.int32)
        # A number moves by one at most, so nothing gets farther than this.
        sizes = np.abs(self.rows).max(axis=1) + 1, np.abs(self.columns).max(axis=1) + 1
        bound = int((sizes[0] * sizes[1]).sum())
        largest = int(max(each.max() for each in sizes))
        steps = kernels.cost_of_steps(cost, self._shift, bound, largest)
        own = _in_units(costs_of_moves(self.rows, 0))
        fixed = self._shift, steps, _HOPELESS
        kernels.sweep_rows(self.places, self.rows, self.columns, *own, self._margins[0], *fixed)
        own = _in_units(costs_of_moves(self.columns, width))
        kernels.sweep_columns(self.places, self.columns, self.rows, *own, self._margins[1], *fixed)
        self._counts = None

    def _add(self, rows: Int16[np.ndarray, "k m"], columns: Int16[np.ndarray, "k n"]) -> None:
        from maskstore.codecs import kernels

        for left, right in zip(rows, columns, strict=True):
            kernels.add_product(self.places, left, right, self._shift)
        self.rows = np.concatenate([self.rows, rows])
        self.columns = np.concatenate([self.columns, columns])
        self._margins = (
            np.concatenate([self._margins[0], np.zeros(rows.shape, np.int64)]),
            np.concatenate([self._margins[1], np.zeros(columns.shape, np.int64)]),
        )
        self._counts = None


def _in_units(
    costs: tuple[Float64[np.ndarray, "rank n"], Float64[np.ndarray, "rank n"]],
) -> tuple[Int64[np.ndarray, "rank n"], Int64[np.ndarray, "rank n"]]:
    up, down = (np.rint(each * _UNIT).astype(np.int64) for each in costs)
    return up, down


def _strongest(
    matrix: Float32[np.ndarray, "m n"], number: int, seed: int
) -> tuple[Float32[np.ndarray, "k m"], Float32[np.ndarray, "k n"], Float32[np.ndarray, " k"]]:
    """Leading singular vectors, each of root mean square 1, and singular values, nearly.

    By iterating a subspace (Halko, Martinsson and Tropp, 2011, algorithm 4.4).
    """
    m, n = matrix.shape
    right = np.random.default_rng(seed).standard_normal((n, number + _SPARE), np.float32)
    for _ in range(_ITERATIONS):
        image = right
        for _ in range(2):
            image = product_here(matrix.T, product_here(matrix, image))
        right = image @ _principal(image)[1]
    image = product_here(matrix, right)
    axes, scaled, sizes = _principal(image)
    left, right = (image @ scaled)[:, :number], (right @ axes)[:, :number]
    return left.T * math.sqrt(m), right.T * math.sqrt(n), sizes[:number]


def _principal(
    vectors: Float32[np.ndarray, "n k"],
) -> tuple[Float32[np.ndarray, "k k"], Float32[np.ndarray, "k k"], Float32[np.ndarray, " k"]]:
    """Of a tall matrix: right singular vectors; over their singular values; and those, falling.

    What is nothing but rounding becomes 0.
    """
    squares, axes = np.linalg.eigh(vectors.T @ vectors)
    sizes = np.sqrt(np.where(squares > _ROUNDING * squares[-1], squares, 0.0))[::-1]
    axes = axes[:, ::-1]
    return axes, np.divide(axes, sizes, out=np.zeros_like(axes), where=sizes > 0), sizes


def _whole(
    vectors: Float32[np.ndarray, "k n"], amplitudes: Float32[np.ndarray, " k"]
) -> Int16[np.ndarray, "k n"]:
    # Cut off above the root mean square: rare large factors cost more than they tell.
    limits = np.clip(np.rint(_CUT_OFF * amplitudes), 1, MAX_NUMBER)[:, None]
    return np.clip(np.rint(vectors * amplitudes[:, None]), -limits, limits).astype(np.int16)


_ENOUGH = 0.02
"""Share of the code that products must save to be followed by more."""
_PATIENCE = 2
"""Products that may fail to pay before the first that does."""
_MAX_SWEEPS = 4
_LITTLE = 0.001
"""Share of the code that a sweep must save to be followed by another."""


def code_bits(task: Task, pull: Pull | None) -> float:
    """About how long the code of the layer is with a pull, the pull's own included."""
    if pull is None:
        kinds = task.flips.astype(np.int64) * task.sizes + task.size
        return bits_of(np.bincount(kinds.reshape(-1), minlength=2 * task.sizes).reshape(2, -1))
    search = Search(task)
    search.become(pull)
    return bits_of(search.count().by_row(pull.cuts)) + pull.code_bits()


def fit_pull(task: Task, max_rank: int) -> Pull | None:
    """The best pull found, if any pays for itself."""
    best: Pull | None = None
    best_bits = code_bits(task, None)
    search = Search(task)
    first, width, most, failed = 0.0, 0, _TOGETHER, 0
    while len(search.rows) < max_rank:
        before = len(search.rows)
        strength = search.grow(first, min(most, max_rank - before))
        first = first or strength
        search.sweep(width)
        pull, bits = search.pull()
        width, gain = pull.width, best_bits - bits
        if gain > 0:
            best, best_bits = pull, bits
        elif len(search.rows) > before + 1:  # the strongest alone may pay
            search.become(best)
            most = 1
            continue
        failed += gain <= 0
        # One product may not pay where two do.
        if gain < _ENOUGH * best_bits and (best is not None or failed == _PATIENCE):
            break
    if best is None:
        return None
    if len(search.rows) > best.rows.shape[1]:
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
