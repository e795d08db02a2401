"""``raw``: the bit-packed mask itself, 1 bit a weight."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec
from maskstore.errors import CorruptArchive
from maskstore.layout import MaskLayout


class RawCodec(Codec):
    """Stores the packed bytes as they are."""

    name = "raw"
    id = 0

    def encode(self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout) -> bytes:
        return packed.tobytes()

    def decode(self, stored: bytes, layout: MaskLayout) -> UInt8[np.ndarray, " bytes"]:
        if len(stored) != layout.packed_bytes:
            raise CorruptArchive(
                f"raw mask: expected {layout.packed_bytes} bytes, found {len(stored)}"
            )
        return np.frombuffer(stored, np.uint8)
