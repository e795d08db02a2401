"""Finding the pull that makes a layer's flips cheapest to code. Only encoders do this.

One product after another: the strongest outer product of what the contexts so far leave
unexplained, rounded to whole numbers; then every number of all products goes up or down by one
where that shortens the code. That goes on while it pays for its own bytes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int32, UInt8

from maskstore.codecs.pull import PULLS, STEPS, Pull
from maskstore.codecs.vectors import MAX_NUMBER, costs_of_numbers, ideal_bits, widths_of

_POWER_STEPS = 8
_AMPLITUDE = 1.5
"""Root mean square of the first product's factors, in units; weaker products get less."""
_LEAST_AMPLITUDE = 0.5
_CUT_OFF = 2.0
_CUT_LIMIT = 128
_TABLE_BITS = 3.0
"""What a context's level costs, roughly."""
_SHARES = np.array([0.15, 0.45, 0.75, 1.1, 1.5, 2.0, 2.7])
"""Bounds between the steps of a pull over its root mean square."""
_PATIENCE = 2
"""Products in a row that may fail to pay before the search ends."""
_MAX_SWEEPS = 4
_LITTLE = 0.003
"""Share of the code that a sweep must save to be followed by another."""
_REACH = 127
"""Largest size of a pull's entry that the decoder tells from larger ones."""


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

    def contexts(self, pull: Pull | None) -> Int16[np.ndarray, "m n"]:
        """Row of the table (the pull, against … along a flip) times ``sizes``, plus column."""
        if pull is None:
            return self.size.astype(np.int16)
        along = pull.quantised() ^ ((PULLS - 1) * (1 - self.toward))
        return along.astype(np.int16) * self.sizes + self.size

    def frequencies(self, pull: Pull | None) -> Float64[np.ndarray, " context"]:
        """How often a bit of each context is set."""
        bits, ones = self._counts(pull)
        return (ones + 0.4) / (bits + 0.8)

    def code_bits(self, pull: Pull | None) -> float:
        """About how long the code of the layer is with a pull, the pull's own included."""
        bits, ones = self._counts(pull)
        seen = bits > 0
        bits, ones = bits[seen], ones[seen]
        p = (ones + 1e-9) / (bits + 2e-9)
        ideal = -(ones * np.log2(p) + (bits - ones) * np.log2(1 - p)).sum()
        own = 0.0 if pull is None else pull.code_bits()
        return float(ideal) + _TABLE_BITS * len(bits) + own

    def _counts(
        self, pull: Pull | None
    ) -> tuple[Float64[np.ndarray, " context"], Float64[np.ndarray, " context"]]:
        flat = self.contexts(pull).reshape(-1)
        length = self.sizes * (1 if pull is None else PULLS)
        bits = np.bincount(flat, minlength=length)
        ones = np.bincount(flat[self.flips.reshape(-1).view(np.bool_)], minlength=length)
        return bits.astype(np.float64), ones.astype(np.float64)


def fit_pull(task: Task, max_rank: int) -> Pull | None:
    """The best pull found, if any pays for itself."""
    best: Pull | None = None
    best_bits = task.code_bits(None)
    candidate, first, failed = best, 0.0, 0
    while failed < _PATIENCE and (candidate is None or candidate.rows.shape[1] < max_rank):
        grown, strength = _with_one_more(task, candidate, first)
        first = first or strength
        candidate = _sweep(task, grown)
        bits = task.code_bits(candidate)
        if bits < best_bits:
            best, best_bits, failed = candidate, bits, 0
        else:
            failed += 1
    for _ in range(_MAX_SWEEPS):
        if best is None:
            break
        candidate = _sweep(task, best)
        gain = best_bits - task.code_bits(candidate)
        if gain > 0:
            best, best_bits = candidate, best_bits - gain
        if gain < _LITTLE * best_bits:
            break
    return best


def _with_one_more(task: Task, pull: Pull | None, first: float) -> tuple[Pull, float]:
    """The pull and the strongest product of what it leaves unexplained; that product's strength."""
    sign = task.toward.astype(np.float32) * 2 - 1
    expected = task.frequencies(pull).astype(np.float32)[task.contexts(pull)]
    rank = 0 if pull is None else pull.rows.shape[1]
    left, right, strength = _strongest((task.flips - expected) * sign, seed=rank)
    amplitude = _AMPLITUDE * float(np.sqrt(max(strength, 0.0) / first)) if first else _AMPLITUDE
    amplitude = max(amplitude, _LEAST_AMPLITUDE)
    rows, columns = _whole(left, amplitude)[:, None], _whole(right, amplitude)[None, :]
    if pull is not None:
        rows = np.concatenate([pull.rows, rows], axis=1)
        columns = np.concatenate([pull.columns, columns], axis=0)
    return _with_cuts(rows, columns), strength


def _with_cuts(rows: Int16[np.ndarray, "m rank"], columns: Int16[np.ndarray, "rank n"]) -> Pull:
    """A pull with bounds between its steps: its sizes while they are few, else evenly spread."""
    width = min(widths_of(columns.shape[1]), key=lambda width: ideal_bits(columns, width))
    pull = Pull(rows=rows, columns=columns, cuts=(1,) * (STEPS - 1))
    sizes = np.abs(pull.matrix().astype(np.int16))
    found = np.unique(sizes[sizes > 0]).tolist()
    if len(found) < STEPS:
        cuts = found + [_CUT_LIMIT] * (STEPS - 1 - len(found))
    else:
        mean = float(np.sqrt(np.mean(sizes.astype(np.float32) ** 2)))
        cuts = np.clip(np.ceil(_SHARES * mean), 1, _CUT_LIMIT).astype(int).tolist()
    return Pull(rows=rows, columns=columns, cuts=tuple(cuts), width=width)


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


def _sweep(task: Task, pull: Pull) -> Pull:
    """Move every number of a pull by one where that shortens the code under today's table."""
    rows, columns = pull.rows.copy(), pull.columns.copy()
    cost = _cost_by_pull(task, pull)
    span = np.int32(2 * _REACH + 1)
    base = task.flips.astype(np.int32) * 2 + task.toward
    base = (base * np.int32(task.sizes) + task.size) * span + np.int32(_REACH)
    matrix = (rows.astype(np.float32) @ columns.astype(np.float32)).astype(np.int32)

    def code(entries: Int32[np.ndarray, "m n"]) -> Float32[np.ndarray, "m n"]:
        # What is farther than the reach is clipped by the decoder, too.
        if max(entries.max(), -entries.min()) > _REACH:
            entries = np.clip(entries, -_REACH, _REACH)
        found: Float32[np.ndarray, "m n"] = cost.take(entries + base, mode="clip")
        return found

    now = code(matrix)
    for axis in (0, 1):
        for k in range(rows.shape[1]):
            numbers = rows[:, k] if axis == 0 else columns[k]
            others = columns[k][None, :] if axis == 0 else rows[:, k][:, None]
            others = others.astype(np.int32)
            own = costs_of_numbers(numbers, 0 if axis == 0 else pull.width)
            own = np.pad(own, ((0, 0), (1, 1)), constant_values=1e9)
            places = np.arange(len(numbers))
            total = now.sum(axis=1 - axis)
            move = np.zeros(numbers.shape, np.int16)
            least = np.full(numbers.shape, -1e-3)
            for step in (1, -1):
                at = numbers + MAX_NUMBER + 1
                moved = own[places, at + step] - own[places, at]
                moved = moved + code(matrix + step * others).sum(axis=1 - axis) - total
                better = moved < least
                move[better], least[better] = step, moved[better]
            if move.any():
                numbers += move  # a view: rows or columns change
                along = move[:, None] if axis == 0 else move[None, :]
                matrix += along.astype(np.int32) * others
                now = code(matrix)
    return _with_cuts(rows, columns)


def _cost_by_pull(task: Task, pull: Pull) -> Float32[np.ndarray, " flat"]:
    """Bits of a flip, by (flip, toward, size, entry of the pull's matrix + reach), flattened."""
    p = task.frequencies(pull).reshape(PULLS, task.sizes)
    entries = np.arange(-_REACH, _REACH + 1)
    steps = np.searchsorted(np.array(pull.cuts), np.abs(entries), side="right")
    along = np.where(entries >= 0, STEPS + steps, STEPS - 1 - steps)
    cost = [
        -np.log2(chance[row]).T for chance in (1.0 - p, p) for row in (PULLS - 1 - along, along)
    ]
    return np.concatenate(cost).astype(np.float32).reshape(-1)
