"""How the bytes of one tensor are coded: as they are, or byte plane by byte plane.

The highest bytes of floats (sign and exponent) are alike, the lowest are noise: taken apart, the
former compress and the latter cost nothing more.
"""

import struct

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.zstd import LEVEL, compress, decompress, expands_too_far
from maskstore.errors import CorruptArchive, UnsupportedVersion

RAW, PLANES = 0, 1
"""Numbers of the codings in the file; never reused (docs/format.md)."""
_LENGTH = struct.Struct("<I")


def encode(data: UInt8[np.ndarray, " n"], item_bytes: int) -> tuple[int, bytes]:
    """(number of the coding, stored bytes), the shorter of the two.

    Args:
        item_bytes: bytes of one value, so the number of planes.
    """
    pieces = []
    for plane in data.reshape(-1, item_bytes).T:
        raw = plane.tobytes()
        packed = compress(plane, LEVEL)
        # The reader refuses what expands too far, so such a plane stays as it is.
        useful = len(packed) < len(raw) and not expands_too_far(len(raw), len(packed))
        stored = packed if useful else raw
        pieces += [_LENGTH.pack(len(stored)), stored]
    planes = b"".join(pieces)
    return (PLANES, planes) if len(planes) < data.size else (RAW, data.tobytes())


def decode(coding: int, stored: bytes, size: int, item_bytes: int) -> UInt8[np.ndarray, " n"]:
    """The inverse of :func:`encode`.

    Args:
        size: bytes that come out; the caller has checked that so many may be allocated.

    Raises:
        CorruptArchive: ``stored`` does not decode to ``size`` bytes.
        UnsupportedVersion: a coding that this release does not know.
    """
    if coding == RAW:
        if len(stored) != size:
            raise CorruptArchive(f"expected {size} bytes, {len(stored)} are stored")
        return np.frombuffer(stored, np.uint8)
    if coding != PLANES:
        raise UnsupportedVersion(
            f"tensor coding {coding} is unknown to this release; "
            "read the archive with a newer supsup-store"
        )
    count = size // item_bytes
    data = np.empty((count, item_bytes), np.uint8)
    at = 0
    for plane in range(item_bytes):
        if at + _LENGTH.size > len(stored):
            raise CorruptArchive(f"byte plane {plane} is missing")
        (length,) = _LENGTH.unpack_from(stored, at)
        piece = stored[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        if len(piece) != length:
            raise CorruptArchive(f"byte plane {plane} ends after {len(piece)} of {length} bytes")
        if length == count:
            data[:, plane] = np.frombuffer(piece, np.uint8)
        else:
            data[:, plane] = decompress(f"byte plane {plane}", piece, count, count)
    if at != len(stored):
        raise CorruptArchive(f"{len(stored) - at} bytes follow the last byte plane")
    return data.reshape(-1)
