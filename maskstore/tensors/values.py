"""Tensors as bytes and back: which types there are, and that every bit comes back."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from maskstore.errors import CorruptArchive, InvalidInput

DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "bool": np.dtype("?"),
}
"""Type of a tensor → how its values lie in memory (of bfloat16: half the bits of float32)."""
MAX_AXES = 32
MAX_BYTES = 2**32 - 1
"""Most bytes of one tensor, and of the coded tensors of one set."""


@dataclass(frozen=True, slots=True, eq=False)
class BFloat16:
    """float32 values that bfloat16 holds exactly, to be stored in two bytes each.

    Reading them back gives float32; ``StoredTask.tensors`` says ``bfloat16``.

    Raises:
        InvalidInput: not float32, or a value has bits that bfloat16 lacks.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray) or self.values.dtype != np.float32:
            found = getattr(self.values, "dtype", type(self.values).__name__)
            raise InvalidInput(f"BFloat16: expected a float32 array, got {found}")
        inexact = np.count_nonzero(_bits(self.values) & 0xFFFF)
        if inexact:
            raise InvalidInput(
                f"BFloat16: {inexact} of {self.values.size} values are not bfloat16; "
                "round them first, or store them as float32"
            )


TensorValue = np.ndarray | np.generic | BFloat16
"""What can be stored: an array of one of ``DTYPES``, or a :class:`BFloat16`."""


class Values(NamedTuple):
    """A tensor as bytes.

    Attributes:
        dtype: a key of ``DTYPES``.
        data: the values in C order, little-endian; booleans eight to a byte, the first in the
            lowest bit, the last byte padded with zeros.
    """

    dtype: str
    shape: tuple[int, ...]
    data: UInt8[np.ndarray, " n"]


def parse_values(what: str, value: object) -> Values:
    """A tensor that was passed in, as bytes; ``what`` is what errors call it.

    Raises:
        InvalidInput: not an array of a type that can be stored, or too large.
    """
    if isinstance(value, BFloat16):
        dtype, array = "bfloat16", (_bits(value.values) >> 16).astype("<u2")
        array = array.reshape(value.values.shape)
    elif isinstance(value, np.ndarray | np.generic):
        dtype, array = value.dtype.name, np.asarray(value)
    else:
        raise InvalidInput(
            f"{what}: expected a numpy array, got {type(value).__name__}"
            " (of a torch tensor take `tensor.detach().cpu().numpy()`)"
        )
    if dtype not in DTYPES:
        raise InvalidInput(
            f"{what}: expected one of {', '.join(DTYPES)}, got {dtype}; convert it first"
        )
    if array.ndim > MAX_AXES or not is_possible(dtype, array.shape):
        raise InvalidInput(
            f"{what}: shape {array.shape} of {dtype}; at most {MAX_AXES} axes and {MAX_BYTES} "
            "bytes are possible"
        )
    flat = np.ascontiguousarray(array, DTYPES[dtype]).reshape(-1)
    data = np.packbits(flat, bitorder="little") if dtype == "bool" else flat.view(np.uint8)
    return Values(dtype, array.shape, data)


def is_possible(dtype: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of that shape can be, by its size alone (an axis of length 0 hides none)."""
    return math.prod(max(size, 1) for size in shape) * DTYPES[dtype].itemsize <= MAX_BYTES


def bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    """Length of :attr:`Values.data`."""
    count = math.prod(shape)
    return (count + 7) // 8 if dtype == "bool" else count * DTYPES[dtype].itemsize


def to_array(values: Values) -> Shaped[np.ndarray, "..."]:
    """The inverse of :func:`parse_values`: a new array; bfloat16 comes back as float32.

    Raises:
        CorruptArchive: padding bits of booleans are set.
    """
    dtype, shape, data = values
    if dtype == "bool":
        count = math.prod(shape)
        if count % 8 and int(data[-1]) >> (count % 8):
            raise CorruptArchive("padding bits are set")
        return np.unpackbits(data, count=count, bitorder="little").view(np.bool_).reshape(shape)
    stored = np.frombuffer(data.tobytes(), DTYPES[dtype]).reshape(shape)
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    # A copy: writable, in the byte order of this machine.
    return stored.astype(stored.dtype.newbyteorder("="))


def _bits(values: Float32[np.ndarray, "..."]) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint32)
