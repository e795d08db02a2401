"""``history``: what training changed, given where it started and what an earlier task changed.

For tasks that are alike (RotatedMNIST's neighbours). The earlier mask, the *reference*, is another
task of the archive, stored by any other codec, so that a mask is never more than two payloads away.
"""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec, expands_too_far, require_sane_size
from maskstore.codecs.maskcode import MAX_LAYERS, CodedMask, decode_mask, encode_mask
from maskstore.codecs.prior import Prior
from maskstore.codecs.startcode import put_start, take_start
from maskstore.errors import CorruptArchive
from maskstore.layout import sha256_of_bits

DIGEST_BYTES = 8
"""How many bytes of its sha256 name the reference."""


class HistoryCodec(Codec):
    """Stores which mask the reference is; then as ``seeded``, with its flips among the contexts."""

    name = "history"
    id = 5

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        layout = prior.layout
        if (
            prior.start is None
            or prior.reference is None
            or len(layout.shapes) > MAX_LAYERS
            or expands_too_far(layout.packed_bytes, layout.packed_bytes)
        ):
            return None
        header = put_start(prior.start)
        if header is None:
            return None
        start = prior.draw(prior.start)
        code = encode_mask(packed, layout, start, prior.reference)
        stored = sha256_of_bits(prior.reference)[:DIGEST_BYTES] + header + code
        return None if expands_too_far(packed.size, len(stored)) else stored

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        return self._read(stored, prior).packed(prior.layout)

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return self._read(stored, prior).layer_bits(prior.layout)

    def _read(self, stored: bytes, prior: Prior) -> CodedMask:
        layout = prior.layout
        require_sane_size(self.name, layout.packed_bytes, len(stored))
        if len(layout.shapes) > MAX_LAYERS:
            raise CorruptArchive(f"history mask: expected at most {MAX_LAYERS} layers")
        start, code = take_start(stored[DIGEST_BYTES:])
        reference = prior.find(reference_of(stored))
        return decode_mask(code, layout, prior.draw(start), reference)


def reference_of(stored: bytes) -> bytes:
    """The first bytes of the sha256 of the mask that ``stored`` needs."""
    return stored[:DIGEST_BYTES]
