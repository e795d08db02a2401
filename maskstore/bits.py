"""Masks as sets of bits: a bitarray over packed bytes, and what two masks have in common.

Packed, a layer of n weights is ⌈n/8⌉ bytes of little-endian bits, as
:meth:`maskstore.layout.MaskLayout.pack` makes them, and a bitarray reads them where they are. Its
length is that of the bytes, up to seven zeros of padding included, so nothing is copied and counts
are those of the mask. Set operations are those of ``bitarray.util``, which count without making
the set.

>>> import numpy as np
>>> first = bits_over(np.array([0b0000_0111], np.uint8))
>>> second = bits_over(np.array([0b0000_1110], np.uint8))
>>> first
bitarray('11100000')
>>> overlap(first, second), difference(first, second), hamming(first, second)
(2, 1, 2)
>>> duplicates([first, second, first])
[[0, 2]]
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from bitarray import bitarray
from bitarray.util import count_and, count_xor
from jaxtyping import Int64, UInt8

from maskstore.errors import InvalidInput, InvalidMask


def bits_over(packed: UInt8[np.ndarray, "..."]) -> bitarray:
    """The bits of packed bytes where they are: read-only, not copied unless they lie scattered."""
    flat: Any = np.ascontiguousarray(packed).reshape(-1)  # a buffer, which numpy's types do not say
    return bitarray(buffer=memoryview(flat).toreadonly(), endian="little")


def packed_bytes_of(layer: str, bits: bitarray, count: int) -> UInt8[np.ndarray, " bytes"]:
    """The packed bytes of a layer from its bits, in C order, with its padding or without.

    Args:
        layer: what errors call it.
        count: weights in the layer.

    Raises:
        InvalidMask: of neither length, or padded with ones.

    >>> packed_bytes_of("fc", bitarray("111"), 3), packed_bytes_of("fc", bitarray("11100000"), 3)
    (array([7], dtype=uint8), array([7], dtype=uint8))
    """
    padded = -(-count // 8) * 8
    if len(bits) not in (count, padded):
        expected = f"{count} bits" if count == padded else f"{count} bits, or {padded} with padding"
        raise InvalidMask(f"mask layer {layer!r}: expected {expected}, got {len(bits)}")
    if bits[count:].any():
        raise InvalidMask(
            f"mask layer {layer!r}: expected zeros in the padding after its {count} bits, got ones"
        )
    if bits.endian != "little":
        bits = bitarray(bits, endian="little")
    return np.frombuffer(bits.tobytes(), np.uint8)


def overlap(first: bitarray, second: bitarray) -> int:
    """Bits that are set in both; raises InvalidInput where the two are not alike in length."""
    return _count(count_and, first, second)


def hamming(first: bitarray, second: bitarray) -> int:
    """Bits in which the two differ; raises as :func:`overlap`."""
    return _count(count_xor, first, second)


def hamming_to_each(
    rows: UInt8[np.ndarray, "mask bytes"], one: UInt8[np.ndarray, " bytes"]
) -> Int64[np.ndarray, " mask"]:
    """Bits in which a packed mask differs from each of several, without unpacking any.

    >>> hamming_to_each(np.array([[0b0111], [0b1110]], np.uint8), np.array([0b0110], np.uint8))
    array([1, 1])
    """
    bits = bits_over(one)
    each = (bitarray(buffer=row, endian="little") for row in np.ascontiguousarray(rows))
    return np.fromiter((count_xor(row, bits) for row in each), np.int64, len(rows))


def difference(first: bitarray, second: bitarray) -> int:
    """Bits that are set in the first and not in the second; raises as :func:`overlap`."""
    return int(first.count()) - overlap(first, second)


def duplicates(masks: Iterable[bitarray]) -> list[list[int]]:
    """The places of masks that are equal, in groups of two and more, in order of their first.

    One look at each mask: only those whose hashes agree are compared.
    """
    alike: dict[int, list[list[tuple[int, bitarray]]]] = {}
    for at, mask in enumerate(masks):
        groups = alike.setdefault(hash(mask.tobytes()), [])
        for group in groups:
            if len(group[0][1]) == len(mask) and not hamming(group[0][1], mask):
                group.append((at, mask))
                break
        else:
            groups.append([(at, mask)])
    found = [[at for at, _ in group] for groups in alike.values() for group in groups]
    return sorted(group for group in found if len(group) > 1)


def _count(count: Callable[[bitarray, bitarray], int], first: bitarray, second: bitarray) -> int:
    try:
        return count(first, second)
    except ValueError as error:
        raise InvalidInput(
            f"bits: expected two masks of one length, got {len(first)} {first.endian}-endian bits "
            f"and {len(second)} {second.endian}-endian ones; take both with padding or both without"
        ) from error
