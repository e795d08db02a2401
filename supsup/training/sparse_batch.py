"""Images of which most numbers are one and the same, such as the black around a digit, and their
products with a first layer's weights by the other numbers alone.

With c that number, ``x Wᵀ = c Σ Wᵀ + (x - c) Wᵀ`` and ``xᵀ pull = c Σ pull + (x - c)ᵀ pull``, and
x - c is 0 nearly everywhere. Sums are of fewer terms than a matrix product's, in another order.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from supsup._lazy import compiled

MOST = 0.33
"""Share of numbers that may differ from the commonest one, on one thread; above it a matrix product
takes no longer (docs/results/training_pace.md)."""

_LOOKED_AT = 1021
"""Numbers of a batch among which the commonest is looked for: a prime, so that no column of the
images is looked at more than others."""


class SparseBatch:
    """A batch of one task on the processor, until the next one takes its place.

    Attributes:
        shape: images and inputs.
        commonest: the number that most are.
        starts: where each image's others begin, and the end of all.
        columns, values: which numbers of the images they are, and by how much they are larger.
        most: how many there may be.
    """

    def __init__(self, images: int, inputs: int) -> None:
        """Room for that many images of that many numbers."""
        self.shape = images, inputs
        self.commonest = np.float32(0)
        self.most = int(MOST / torch.get_num_threads() * images * inputs)
        room = self.most + inputs + 1  # an image more than may be kept is written before it is seen
        self.starts, self.columns = np.empty(images + 1, np.int32), np.empty(room, np.int32)
        self.values = np.empty(room, np.float32)
        # The same in the order of the inputs.
        self._starts, self._rows = np.empty(inputs + 2, np.int32), np.empty(room, np.int32)
        self._values = np.empty(room, np.float32)
        self._pull = np.empty((images, 0), np.float32)

    def take(self, x: Float32[Tensor, "image input"]) -> bool:
        """Make it these images; False where too many numbers differ."""
        images = np.ascontiguousarray(x.numpy())
        stride = max(images.size // _LOOKED_AT, 1)
        commonest, share = _commonest(images.reshape(-1), stride)
        self.commonest = np.float32(commonest)
        # Twice: what was looked at is a sample.
        if share * images.size > 2 * self.most:
            return False
        return self.finish(
            _index(images, self.commonest, self.most, self.starts, self.columns, self.values)
        )

    def finish(self, fits: bool) -> bool:
        """Once ``starts``, ``columns`` and ``values`` are written, where the others fit."""
        if fits:
            _by_input(
                self.starts, self.columns, self.values, self._starts, self._rows, self._values
            )
        return fits

    def dense(self) -> Float32[Tensor, "image input"]:
        """The images."""
        images = np.full(self.shape, self.commonest)
        row = np.repeat(np.arange(self.shape[0]), np.diff(self.starts))
        count = self.starts[-1]
        images[row, self.columns[:count]] += self.values[:count]
        return torch.from_numpy(images)

    def times(
        self, columns: Float32[Tensor, "input wide"], bias: Float32[Tensor, " unit"] | None
    ) -> Float32[Tensor, "image wide"]:
        """``x Wᵀ + b``, with zeros behind where there are behind the columns.

        Args:
            columns: of the weights.
        """
        rows = columns.numpy()
        base = np.zeros(rows.shape[1], np.float32)
        if bias is not None:
            base[: len(bias)] = bias.numpy()
        _add_all(self.commonest, rows, base)
        out = columns.new_empty(self.shape[0], len(base))
        _product(self.starts, self.columns, self.values, rows, base, out.numpy())
        return out

    def gradient(
        self, pull: Float32[Tensor, "image unit"], columns: Float32[Tensor, "input wide"]
    ) -> None:
        """The gradient of the weights, which lie as they do in :meth:`times`, into ``columns``.

        Args:
            pull: the gradient of what :meth:`times` gave.
        """
        wide = columns.shape[1]
        if self._pull.shape[1] != wide:
            # torch's memory begins with a line of the cache, NumPy's need not.
            self._pull = columns.new_zeros(len(pull), wide).numpy()
        self._pull[:, : pull.shape[1]] = pull.numpy()
        base = np.zeros(columns.shape[1], np.float32)
        _add_all(self.commonest, self._pull, base)
        _product(self._starts[:-1], self._rows, self._values, self._pull, base, columns.numpy())


@compiled()
@no_type_check
def _commonest(numbers: Any, stride: Any) -> Any:
    """The number that more than half are (Boyer and Moore, 1981), and the share of others.

    Looks at every ``stride``-th. Where there is no such number, it is any, and the share is large.
    """
    found, votes = numbers[0], 0
    for at in range(0, len(numbers), stride):
        if votes == 0:
            found = numbers[at]
        votes += 1 if numbers[at] == found else -1
    others, looked_at = 0, 0
    for at in range(0, len(numbers), stride):
        others += numbers[at] != found
        looked_at += 1
    return found, others / looked_at


@compiled()
@no_type_check
def _index(images: Any, commonest: Any, most: Any, starts: Any, columns: Any, values: Any) -> bool:
    found = 0
    for row in range(len(images)):
        starts[row] = found
        for column in range(images.shape[1]):
            # Written always and counted where it is to stay: a branch would be guessed wrong.
            columns[found] = column
            found += images[row, column] != commonest
        if found > most:
            return False
        for at in range(starts[row], found):
            values[at] = images[row, columns[at]] - commonest
    starts[-1] = found
    return True


@compiled()
@no_type_check
def _by_input(
    starts: Any, columns: Any, values: Any, column_starts: Any, rows: Any, column_values: Any
) -> None:
    """From the order of the images to that of the inputs; the last of ``column_starts`` is junk."""
    # Where each column's begin, one further on: that place is then counted up to the next one's.
    column_starts[:] = 0
    for at in range(starts[-1]):
        column_starts[columns[at] + 2] += 1
    for column in range(2, len(column_starts)):
        column_starts[column] += column_starts[column - 1]
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            place = column_starts[columns[at] + 1]
            column_starts[columns[at] + 1] = place + 1
            rows[place], column_values[place] = row, values[at]


@compiled(fastmath={"contract"})
@no_type_check
def _add_all(factor: Any, rows: Any, total: Any) -> None:
    """Add the sum of all rows, times a factor."""
    if factor == 0:
        return
    added = np.zeros_like(total)
    for row in range(rows.shape[0]):
        for at in range(len(added)):
            added[at] += rows[row, at]
    for at in range(len(added)):
        total[at] += factor * added[at]


@compiled(fastmath={"contract"})
@no_type_check
def _product(starts: Any, places: Any, values: Any, rows: Any, base: Any, out: Any) -> None:
    """``out[i] = base + Σ values · rows[places]``, each sum in the order of its places."""
    width = len(base)
    for i in range(len(starts) - 1):
        total, at, end = out[i], starts[i], starts[i + 1]
        total[:] = base
        # Eight rows at a time: the total is loaded and stored for each eight of them.
        while at + 8 <= end:
            v0, v1, v2, v3 = values[at], values[at + 1], values[at + 2], values[at + 3]
            v4, v5, v6, v7 = values[at + 4], values[at + 5], values[at + 6], values[at + 7]
            r0, r1 = rows[places[at]], rows[places[at + 1]]
            r2, r3 = rows[places[at + 2]], rows[places[at + 3]]
            r4, r5 = rows[places[at + 4]], rows[places[at + 5]]
            r6, r7 = rows[places[at + 6]], rows[places[at + 7]]
            for u in range(width):
                sum4 = total[u] + v0 * r0[u] + v1 * r1[u] + v2 * r2[u] + v3 * r3[u]
                total[u] = sum4 + v4 * r4[u] + v5 * r5[u] + v6 * r6[u] + v7 * r7[u]
            at += 8
        while at < end:
            value, row = values[at], rows[places[at]]
            for u in range(width):
                total[u] += value * row[u]
            at += 1
