"""MaskLayout: which parameters a mask covers, in which order, and how its bits are packed.

A layer has a place of two kinds, which are not to be mixed up:

- :attr:`MaskLayout.offsets`: in a **flat** vector of d numbers, one a weight, layer after layer
  with nothing in between. :meth:`MaskLayout.join` and :meth:`MaskLayout.split` go there and back.
- :meth:`MaskLayout.layers`: in the **packed** bytes of a mask, where each layer begins at a byte of
  its own, so that up to seven zero bits pad it. :meth:`MaskLayout.pack` and
  :meth:`MaskLayout.unpack` go there and back.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from bitarray import bitarray
from jaxtyping import Bool, UInt8

from maskstore.bits import bits_over, packed_bytes_of
from maskstore.errors import InvalidInput, InvalidMask
from maskstore.foreign import one_line

MAX_AXES = 32
MAX_BITS = 2**32 - 1
"""Most bits in one mask: the index stores lengths in 32 bits."""


Array = TypeVar("Array")
"""An array of numpy or a tensor of torch, which this module never imports."""


@dataclass(frozen=True)
class MaskLayout:
    """The ordered (name, shape) of the arrays that a mask covers.

    Attributes:
        shapes: layer name → shape, in storage order. Copied and treated as read-only.

    Raises:
        InvalidInput: no layer, an unusable name or shape, or more than ``MAX_BITS`` bits.

    >>> layout = MaskLayout({"fc1": (2, 3), "fc2": (2,)})
    >>> layout.bits, layout.packed_bytes
    (8, 2)
    >>> layout.offsets
    {'fc1': slice(0, 6, None), 'fc2': slice(6, 8, None)}
    >>> layout.split(np.arange(8))["fc1"].tolist()
    [[0, 1, 2], [3, 4, 5]]
    """

    shapes: dict[str, tuple[int, ...]]
    bits: int = field(init=False, compare=False)
    """d: bits in one mask, padding not counted."""
    packed_bytes: int = field(init=False, compare=False)
    """Bytes of one packed mask: each layer is padded to a byte."""

    def __post_init__(self) -> None:
        if not isinstance(self.shapes, Mapping) or not self.shapes:
            raise InvalidInput(
                f"mask layout: expected at least one layer, name -> shape, got {self.shapes!r:.80}"
            )
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in self.shapes.items():
            if not isinstance(name, str) or not name or not name.isprintable():
                raise InvalidInput(
                    f"mask layout: a layer name must be printable text, got {name!r}"
                )
            shapes[name] = _parse_shape(name, shape)
        object.__setattr__(self, "shapes", shapes)
        sizes = [math.prod(shape) for shape in shapes.values()]
        if sum(sizes) > MAX_BITS:
            raise InvalidInput(
                f"mask layout: {sum(sizes)} bits in one mask, at most {MAX_BITS} are supported"
            )
        object.__setattr__(self, "bits", sum(sizes))
        object.__setattr__(self, "packed_bytes", sum((n + 7) // 8 for n in sizes))

    def __hash__(self) -> int:
        return hash(tuple(self.shapes.items()))

    @cached_property
    def offsets(self) -> dict[str, slice]:
        """Layer name → its slice of a flat vector of :attr:`bits` numbers, without padding."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()]).tolist()
        starts = [0, *ends[:-1]]
        return {
            name: slice(start, end)
            for name, start, end in zip(self.shapes, starts, ends, strict=True)
        }

    def join(self, layers: Mapping[str, Any], out: Array | None = None) -> Array:
        """All layers as one flat vector, in storage order, without padding.

        Args:
            layers: layer name → array of any dtype, ``(batch axes…, *shape)``; the same batch axes
                for all.
            out: (batch axes…, bits), what to write into; a new numpy array by default. Tensors of
                torch need one.

        Raises:
            InvalidMask: a layer is missing, unknown or of another shape.
        """
        if layers.keys() != self.shapes.keys():
            self._reject_names(layers)
        first, shape = next(iter(self.shapes.items()))
        batch = tuple(layers[first].shape)
        batch = batch[: max(0, len(batch) - len(shape))]
        for name, shape in self.shapes.items():
            if tuple(layers[name].shape) != batch + shape:
                raise InvalidMask(
                    f"layer {name!r}: expected shape {batch + shape}, "
                    f"got {tuple(layers[name].shape)}"
                )
        flat: Any = out
        if flat is None:
            dtype = np.result_type(*(layers[name].dtype for name in self.shapes))
            flat = np.empty((*batch, self.bits), dtype)
        for name, where in self.offsets.items():
            flat[..., where] = layers[name].reshape((*batch, where.stop - where.start))
        return flat

    def split(self, flat: Array) -> dict[str, Array]:
        """The inverse of :meth:`join`: views of (batch axes…, bits), an array or a tensor.

        Raises:
            InvalidInput: another number of numbers.
        """
        numbers: Any = flat
        *batch, length = numbers.shape or (0,)
        if length != self.bits:
            raise InvalidInput(f"mask layout: expected {self.bits} numbers to split, got {length}")
        return {
            name: numbers[..., where].reshape((*batch, *self.shapes[name]))
            for name, where in self.offsets.items()
        }

    def layers(self) -> Iterator[tuple[str, tuple[int, ...], slice, int]]:
        """Yield (name, shape, slice of the packed bytes, bits) per layer, in storage order.

        Packed, every layer begins at a byte: see :attr:`offsets` for its place among all weights.
        """
        start = 0
        for name, shape in self.shapes.items():
            bits = math.prod(shape)
            stop = start + (bits + 7) // 8
            yield name, shape, slice(start, stop), bits
            start = stop

    def pack(self, masks: Mapping[str, np.ndarray | bitarray]) -> UInt8[np.ndarray, " bytes"]:
        """Pack layers into bytes, little-endian bits, each layer padded to a byte.

        Args:
            masks: of each layer a boolean array, or a bitarray of its weights in C order, with the
                zeros of the padding or without.

        Raises:
            InvalidMask: a layer is missing, unknown, of another shape or length, or not boolean.
        """
        if not isinstance(masks, Mapping):
            raise InvalidMask(
                f"mask: expected layer name -> boolean array, got {type(masks).__name__}"
            )
        if masks.keys() != self.shapes.keys():
            self._reject_names(masks)
        packed = np.empty(self.packed_bytes, np.uint8)
        for name, shape, where, bits in self.layers():
            given = masks[name]
            if isinstance(given, bitarray):
                packed[where] = packed_bytes_of(name, given, bits)
                continue
            layer = _dense(name, given)
            if layer.dtype != np.bool_:
                raise InvalidMask(
                    f"mask layer {name!r}: expected dtype bool, got {layer.dtype}; "
                    "convert with `array != 0` if its values are 0 and 1"
                )
            if layer.shape != shape:
                raise InvalidMask(f"mask layer {name!r}: expected shape {shape}, got {layer.shape}")
            packed[where] = np.packbits(layer.ravel(), bitorder="little")
        return packed

    def unpack(self, packed: UInt8[np.ndarray, " bytes"]) -> dict[str, Bool[np.ndarray, "..."]]:
        """The inverse of :meth:`pack`."""
        return {
            name: np.unpackbits(packed[where], count=bits, bitorder="little")
            .view(np.bool_)
            .reshape(shape)
            for name, shape, where, bits in self.layers()
        }

    def unpack_flat(self, packed: UInt8[np.ndarray, " bytes"]) -> UInt8[np.ndarray, " bits"]:
        """A packed mask as a flat vector of 0 and 1."""
        flat: Bool[np.ndarray, " bits"] = self.join(self.unpack(packed))
        return flat.view(np.uint8)

    def pack_flat(self, flat: UInt8[np.ndarray, " bits"]) -> UInt8[np.ndarray, " bytes"]:
        """The inverse of :meth:`unpack_flat`; values other than 0 and 1 are not looked for."""
        return self.pack(self.split(flat.view(np.bool_)))

    def bitarrays(
        self, packed: UInt8[np.ndarray, " bytes"], *, exact: bool = False
    ) -> dict[str, bitarray]:
        """The bits of every layer of a packed mask, in C order, where they are.

        Args:
            exact: copies without the padding, that can be written to; else read-only views, whose
                length is a multiple of 8.

        >>> layout = MaskLayout({"fc": (3,)})
        >>> packed = layout.pack({"fc": np.array([True, False, True])})
        >>> layout.bitarrays(packed), layout.bitarrays(packed, exact=True)
        ({'fc': bitarray('10100000')}, {'fc': bitarray('101')})
        """
        views = {name: (bits_over(packed[where]), bits) for name, _, where, bits in self.layers()}
        return {name: view[:bits] if exact else view for name, (view, bits) in views.items()}

    def has_clean_padding(self, packed: UInt8[np.ndarray, " bytes"]) -> bool:
        """Whether every padding bit is zero, as :meth:`pack` leaves them."""
        return not any(
            bits % 8 and int(packed[where.stop - 1]) >> (bits % 8)
            for _, _, where, bits in self.layers()
        )

    def _reject_names(self, masks: Mapping[str, Any]) -> None:
        missing = [name for name in self.shapes if name not in masks]
        unknown = [str(name) for name in masks if name not in self.shapes]
        expected = ", ".join(self.shapes)
        if missing:
            raise InvalidMask(f"mask: layer {missing[0]!r} is missing; expected layers: {expected}")
        raise InvalidMask(f"mask: unknown layer {unknown[0]!r}; expected layers: {expected}")

    def to_json(self) -> list[dict[str, Any]]:
        """The layout as JSON: ``[{"name": …, "shape": […]}, …]`` in storage order."""
        return [{"name": name, "shape": list(shape)} for name, shape in self.shapes.items()]

    @classmethod
    def from_json(cls, value: Any) -> "MaskLayout":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        if not isinstance(value, list) or not all(
            isinstance(item, dict) and isinstance(item.get("name"), str) and "shape" in item
            for item in value
        ):
            raise InvalidInput("mask layout: expected a list of {name, shape}")
        shapes = {item["name"]: _parse_shape(item["name"], item["shape"]) for item in value}
        if len(shapes) != len(value):
            raise InvalidInput("mask layout: a layer name occurs twice")
        return cls(shapes)

    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON, to compare layouts across files."""
        return hashlib.sha256(
            json.dumps(self.to_json(), separators=(",", ":")).encode()
        ).hexdigest()


def _dense(layer: str, mask: object) -> np.ndarray:
    """An array of what the caller holds; sparse, nested and ragged ones have none."""
    try:
        return np.asarray(mask)
    except Exception as error:  # of any library whose array this is
        raise InvalidMask(
            f"mask layer {layer!r}: expected a dense boolean array, got {type(mask).__name__} "
            f"({one_line(error)})"
        ) from error


def _parse_shape(layer: str, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list) or not 1 <= len(shape) <= MAX_AXES:
        raise InvalidInput(f"mask layout: layer {layer!r} needs a shape of 1 to {MAX_AXES} sizes")
    if not all(type(n) is int and 1 <= n <= MAX_BITS for n in shape):
        raise InvalidInput(
            f"mask layout: layer {layer!r} needs positive whole sizes of at most {MAX_BITS}"
        )
    return tuple(shape)


def sha256_of_bits(packed: UInt8[np.ndarray, " bytes"]) -> bytes:
    """sha256 of a packed mask, the identity of a mask everywhere (32 raw bytes)."""
    return hashlib.sha256(packed.tobytes()).digest()


def count_ones(packed: UInt8[np.ndarray, "..."]) -> int:
    """Number of set bits. Padding bits are zero by construction and do not count."""
    return int(bits_over(packed).count())
