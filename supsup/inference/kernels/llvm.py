"""Loops over sixteen bits at a time, written as LLVM IR: 16 stored bits are a vector mask.

``numba`` has no vector types, and LLVM does not find the pattern "add where the bit is set" by
itself. Each loop here is one intrinsic: load 16 bits, reinterpret them as 16 booleans, select.
With AVX-512 that is a mask register and one masked addition; elsewhere LLVM expands it.
"""

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from maskstore.errors import SupsupError
from supsup.inference.kernels.base import VECTOR_LENGTH

if sys.byteorder != "little":
    raise SupsupError("inference on packed masks needs a little-endian processor")

_BYTE, _BITS, _INDEX = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_FLOATS, _COUNTS = (
    ir.VectorType(ir.FloatType(), VECTOR_LENGTH),
    ir.VectorType(ir.IntType(32), VECTOR_LENGTH),
)
_MASK = ir.VectorType(ir.IntType(1), VECTOR_LENGTH)

_SIX = types.void(*[types.intp] * 6)
_FIVE = types.void(*[types.intp] * 5)


def make_sum_selected(rows: int, columns: int) -> Callable[..., None]:
    """``f(bits, bits_stride, v, v_stride, words, out)``: for a block of mask rows and vectors.

    Adds up, for every pair of one of ``rows`` rows of bits and one of ``columns`` float32 vectors,
    the vector's numbers whose bit is set. ``out`` receives 16 partial sums a pair. Arguments are
    addresses and strides in bytes; ``words`` counts groups of 16 bits.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, bits_stride, v, v_stride, words, out = args
        bit_rows = _pointers(builder, bits, bits_stride, rows)
        vectors = _pointers(builder, v, v_stride, columns)
        zero = ir.Constant(_FLOATS, [0.0] * VECTOR_LENGTH)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(rows * columns)]
        with cgutils.for_range(builder, words) as loop:
            values = [_load(builder, p, loop.index, _FLOATS) for p in vectors]
            for r, pointer in enumerate(bit_rows):
                mask = _load_mask(builder, pointer, loop.index)
                for c, value in enumerate(values):
                    place = sums[r * columns + c]
                    before = builder.load(place)
                    after = builder.fadd(before, value)
                    builder.store(builder.select(mask, after, before), place)
        (target,) = _pointers(builder, out, ir.Constant(_INDEX, 0), 1)
        for at, place in enumerate(sums):
            _store(builder, builder.load(place), target, ir.Constant(_INDEX, at), _FLOATS)
        return context.get_dummy_value()

    @intrinsic
    def sum_selected(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        return _SIX, generate

    return sum_selected


def make_masked_product(rows: int, outputs: int) -> Callable[..., None]:
    """``f(bits, bits_stride, w, w_stride, x, x_stride, words, out)``: W ⊙ M times x, a mask a row.

    For every pair of one of ``rows`` vectors x and one of ``outputs`` vectors w, the products of
    their numbers are added up where the bit of that pair is set. ``bits`` is the address of
    ``rows`` addresses, each of the first output's bits. ``out`` receives the sums, row after row.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, bits_stride, w, w_stride, x, x_stride, words, out = args
        table = builder.inttoptr(bits, _INDEX.as_pointer())
        masks = []
        for row in range(rows):
            address = builder.load(builder.gep(table, [ir.Constant(_INDEX, row)]))
            masks.append(_pointers(builder, address, bits_stride, outputs))
        # Fused where the processor can.
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), "llvm.fmuladd.v16f32"
        )
        weights = _pointers(builder, w, w_stride, outputs)
        inputs = _pointers(builder, x, x_stride, rows)
        zero = ir.Constant(_FLOATS, [0.0] * VECTOR_LENGTH)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(rows * outputs)]
        with cgutils.for_range(builder, words) as loop:
            numbers = [_load(builder, pointer, loop.index, _FLOATS) for pointer in inputs]
            for o, pointer in enumerate(weights):
                weight = _load(builder, pointer, loop.index, _FLOATS)
                for r, number in enumerate(numbers):
                    mask = _load_mask(builder, masks[r][o], loop.index)
                    place = sums[r * outputs + o]
                    before = builder.load(place)
                    after = builder.call(multiply_add, (weight, number, before))
                    builder.store(builder.select(mask, after, before), place)
        add_up = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS]),
            "llvm.vector.reduce.fadd.v16f32",
        )
        target = builder.inttoptr(out, ir.FloatType().as_pointer())
        nothing = ir.Constant(ir.FloatType(), 0.0)
        for at, place in enumerate(sums):
            # In any order, so that it takes four steps and not sixteen.
            total = builder.call(add_up, (nothing, builder.load(place)), fastmath=("reassoc",))
            builder.store(total, builder.gep(target, [ir.Constant(_INDEX, at)]))
        return context.get_dummy_value()

    @intrinsic
    def masked_product(
        typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any
    ) -> Any:
        return types.void(*[types.intp] * 8), generate

    return masked_product


def make_count_selected(rows: int) -> Callable[..., None]:
    """``f(bits, bits_stride, words, counts, step)``: adds ``step`` to the int32 count of every set
    bit of ``rows`` rows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, bits_stride, words, counts, step = args
        bit_rows = _pointers(builder, bits, bits_stride, rows)
        (target,) = _pointers(builder, counts, ir.Constant(_INDEX, 0), 1)
        one = builder.trunc(step, ir.IntType(32))
        steps = ir.Constant(_COUNTS, ir.Undefined)
        for number in range(VECTOR_LENGTH):
            steps = builder.insert_element(steps, one, ir.Constant(ir.IntType(32), number))
        with cgutils.for_range(builder, words) as loop:
            count = _load(builder, target, loop.index, _COUNTS)
            for pointer in bit_rows:
                mask = _load_mask(builder, pointer, loop.index)
                count = builder.select(mask, builder.add(count, steps), count)
            _store(builder, count, target, loop.index, _COUNTS)
        return context.get_dummy_value()

    @intrinsic
    def count_selected(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
        return _FIVE, generate

    return count_selected


def _copy_selected(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    bits, values, words, out = args
    nothing = ir.Constant(_INDEX, 0)
    (bit_row,) = _pointers(builder, bits, nothing, 1)
    (source,) = _pointers(builder, values, nothing, 1)
    (target,) = _pointers(builder, out, nothing, 1)
    zero = ir.Constant(_FLOATS, [0.0] * VECTOR_LENGTH)
    with cgutils.for_range(builder, words) as loop:
        mask = _load_mask(builder, bit_row, loop.index)
        value = _load(builder, source, loop.index, _FLOATS)
        _store(builder, builder.select(mask, value, zero), target, loop.index, _FLOATS)
    return context.get_dummy_value()


@intrinsic
def copy_selected(typing: Any, bits: Any, values: Any, words: Any, out: Any) -> Any:
    """``f(bits, values, words, out)``: out = value where the bit is set, 0 elsewhere."""
    return types.void(*[types.intp] * 4), _copy_selected


def _pointers(builder: Any, address: Any, stride: Any, n: int) -> list[Any]:
    base = builder.inttoptr(address, _BYTE.as_pointer())
    return [builder.gep(base, [builder.mul(stride, ir.Constant(_INDEX, i))]) for i in range(n)]


def _place(builder: Any, pointer: Any, index: Any, kind: Any, size: int) -> Any:
    offset = builder.mul(index, ir.Constant(_INDEX, size))
    return builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())


def _load(builder: Any, pointer: Any, index: Any, kind: Any) -> Any:
    value = builder.load(_place(builder, pointer, index, kind, 4 * VECTOR_LENGTH))
    value.align = 4  # rows of floats begin anywhere
    return value


def _store(builder: Any, value: Any, pointer: Any, index: Any, kind: Any) -> None:
    builder.store(value, _place(builder, pointer, index, kind, 4 * VECTOR_LENGTH)).align = 4


def _load_mask(builder: Any, pointer: Any, index: Any) -> Any:
    word = builder.load(_place(builder, pointer, index, _BITS, 2))
    word.align = 1  # rows of bits begin anywhere
    return builder.bitcast(word, _MASK)
