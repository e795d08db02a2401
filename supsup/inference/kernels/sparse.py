"""Every mask on its own at the price of its ones: fully connected ReLU nets, gather and add."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8, UInt16

from maskstore.layout import MaskLayout, count_ones
from supsup._lazy import compiled
from supsup.inference.kernels.threads import split

_LOWEST_BIT = np.array([0] + [(n & -n).bit_length() - 1 for n in range(1, 256)], np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseMasks:
    """The non-zero weights of K masks, unit by unit: all units of mask 0, of mask 1, ….

    Attributes:
        widths: of the input and of every layer; the units of a mask are those of its layers.
        starts: where each unit's non-zero weights begin, and the end of all.
        inputs: which number of the layer before a weight multiplies.
        weights: the non-zero weights.
        biases: what is added in each layer's units, the same for all masks.
    """

    widths: tuple[int, ...]
    starts: Int64[np.ndarray, " ends"]
    inputs: UInt16[np.ndarray, " nonzero"] | Int32[np.ndarray, " nonzero"]
    weights: Float32[np.ndarray, " nonzero"]
    biases: Float32[np.ndarray, " unit"]

    def __len__(self) -> int:
        return (len(self.starts) - 1) // sum(self.widths[1:])

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self.starts.nbytes + self.inputs.nbytes + self.weights.nbytes


def sparsify(
    bits: UInt8[np.ndarray, "task bytes"],
    weights: Float32[np.ndarray, " numbers"],
    layout: MaskLayout,
    biases: Sequence[Float32[np.ndarray, " _"] | None] = (),
) -> SparseMasks:
    """The non-zeros of W ⊙ M for every mask.

    Args:
        weights: flat row of W.
        layout: matrices of (units, inputs), each with the units of the one before as its inputs.
        biases: of each layer; None, or no sequence at all, for 0.
    """
    bits = np.ascontiguousarray(bits)
    shapes = list(layout.shapes.values())
    widths = (shapes[0][1], *(shape[0] for shape in shapes))
    assert all(len(s) == 2 and s[1] == w for s, w in zip(shapes, widths, strict=False))
    units = sum(widths[1:])
    first_bytes = np.array([where.start for _, _, where, _ in layout.layers()], np.int64)
    sizes = np.array(widths, np.int64)
    ends = np.cumsum([count_ones(row) for row in bits], dtype=np.int64)
    nonzeros = int(ends[-1]) if len(ends) else 0
    starts = np.empty(len(bits) * units + 1, np.int64)
    starts[-1] = nonzeros
    inputs: Any = np.empty(nonzeros, np.uint16 if max(widths) <= 2**16 else np.int32)
    values = np.empty(nonzeros, np.float32)
    arrays = (bits, first_bytes, sizes, weights, ends, _LOWEST_BIT, starts, inputs, values)
    split(lambda a, b: _fill(*arrays, a, b), len(bits))
    added = np.zeros(units, np.float32)
    for bias, end in zip(biases, np.cumsum(widths[1:]), strict=False):
        if bias is not None:
            added[end - len(bias) : end] = bias
    return SparseMasks(widths=widths, starts=starts, inputs=inputs, weights=values, biases=added)


def run_sparse(
    masks: SparseMasks, x: Float32[np.ndarray, "batch inputs"], start: int, stop: int
) -> Float32[np.ndarray, "task outputs batch"]:
    """The logits of masks ``start`` … ``stop - 1``; ReLU between layers, none after the last."""
    columns = np.ascontiguousarray(x.T)
    out = np.empty((stop - start, masks.widths[-1], len(x)), np.float32)
    sizes = np.array(masks.widths, np.int64)
    parts = (masks.starts, masks.inputs, masks.weights, masks.biases)
    if len(x) == 1:
        flat, single = columns[:, 0], out[:, :, 0]
        split(lambda a, b: _run_one(*parts, sizes, flat, single, start, a, b), stop - start)
    else:
        split(lambda a, b: _run(*parts, sizes, columns, out, start, a, b), stop - start)
    return out


@compiled()
@no_type_check
def _fill(
    bits: Any,
    first_bytes: Any,
    widths: Any,
    weights: Any,
    ends: Any,
    lowest_bit: Any,
    starts: Any,
    inputs: Any,
    values: Any,
    start: Any,
    stop: Any,
) -> None:
    units = widths[1:].sum()
    for task in range(start, stop):
        at = ends[task - 1] if task else 0
        unit = task * units
        for layer in range(len(first_bytes)):
            fan_in, width = widths[layer], widths[layer + 1]
            begun = 0  # units of the layer whose start is known
            for byte in range((fan_in * width + 7) // 8):
                place = first_bytes[layer] + byte
                rest = bits[task, place]
                while rest:
                    bit = lowest_bit[rest]
                    rest &= rest - 1
                    row = (8 * byte + bit) // fan_in
                    while begun <= row:
                        starts[unit + begun] = at
                        begun += 1
                    inputs[at] = 8 * byte + bit - row * fan_in
                    values[at] = weights[8 * place + bit]
                    at += 1
            while begun < width:
                starts[unit + begun] = at
                begun += 1
            unit += width


@compiled()
@no_type_check
def _run_one(
    starts: Any,
    inputs: Any,
    weights: Any,
    biases: Any,
    widths: Any,
    x: Any,
    out: Any,
    first: Any,
    start: Any,
    stop: Any,
) -> None:
    layers = len(widths) - 1
    units = widths[1:].sum()
    before, after = np.empty(widths.max(), np.float32), np.empty(widths.max(), np.float32)
    for task in range(start, stop):
        first_unit = unit = (first + task) * units
        before[: widths[0]] = x
        for layer in range(layers):
            for row in range(widths[layer + 1]):
                total = biases[unit - first_unit + row]
                for at in range(starts[unit + row], starts[unit + row + 1]):
                    total += weights[at] * before[inputs[at]]
                if layer + 1 < layers:
                    after[row] = max(total, np.float32(0))
                else:
                    out[task, row] = total
            unit += widths[layer + 1]
            before, after = after, before


@compiled(fastmath={"contract"})
@no_type_check
def _run(
    starts: Any,
    inputs: Any,
    weights: Any,
    biases: Any,
    widths: Any,
    columns: Any,
    out: Any,
    first: Any,
    start: Any,
    stop: Any,
) -> None:
    layers, batch = len(widths) - 1, columns.shape[1]
    units = widths[1:].sum()
    hidden = np.empty((2, widths[1:].max(), batch), np.float32)
    for task in range(start, stop):
        first_unit = unit = (first + task) * units
        before = columns
        for layer in range(layers):
            last = layer + 1 == layers
            after = out[task] if last else hidden[layer % 2]
            for row in range(widths[layer + 1]):
                total = after[row]
                total[:] = biases[unit - first_unit + row]
                for at in range(starts[unit + row], starts[unit + row + 1]):
                    weight, numbers = weights[at], before[inputs[at]]
                    for image in range(batch):
                        total[image] += weight * numbers[image]
                if not last:
                    for image in range(batch):
                        total[image] = max(total[image], np.float32(0))
            unit += widths[layer + 1]
            before = after
