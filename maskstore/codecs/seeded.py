"""``seeded``: what training changed, given where it started."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec, expands_too_far, require_sane_size
from maskstore.codecs.maskcode import MAX_LAYERS, CodedMask, decode_mask, encode_mask
from maskstore.codecs.prior import Prior
from maskstore.codecs.startcode import put_start, take_start
from maskstore.errors import CorruptArchive


class SeededCodec(Codec):
    """Stores the start, the model of every layer, and the bits sorted by their probability."""

    name = "seeded"
    id = 4

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        layout = prior.layout
        if (
            prior.start is None
            or len(layout.shapes) > MAX_LAYERS
            # The least that can be hoped for; saves drawing a start for nothing.
            or expands_too_far(layout.packed_bytes, layout.packed_bytes)
        ):
            return None
        header = put_start(prior.start)
        if header is None:
            return None
        stored = header + encode_mask(packed, layout, prior.draw(prior.start), None)
        return None if expands_too_far(packed.size, len(stored)) else stored

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        return self._read(stored, prior).packed(prior.layout)

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return self._read(stored, prior).layer_bits(prior.layout)

    def _read(self, stored: bytes, prior: Prior) -> CodedMask:
        layout = prior.layout
        require_sane_size(self.name, layout.packed_bytes, len(stored))
        if len(layout.shapes) > MAX_LAYERS:
            raise CorruptArchive(f"seeded mask: expected at most {MAX_LAYERS} layers")
        start, code = take_start(stored)
        return decode_mask(code, layout, prior.draw(start), None)
