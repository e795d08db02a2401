"""``raw``: the bit-packed mask itself, 1 bit a weight."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec
from maskstore.codecs.knowledge import Prior
from maskstore.errors import CorruptArchive


class RawCodec(Codec):
    """Stores the packed bytes as they are."""

    name = "raw"
    id = 0

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes:
        return packed.tobytes()

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        expected = prior.layout.packed_bytes
        if len(stored) != expected:
            raise CorruptArchive(f"raw mask: expected {expected} bytes, found {len(stored)}")
        return np.frombuffer(stored, np.uint8)

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return [8.0 * (where.stop - where.start) for _, _, where, _ in prior.layout.layers()]
