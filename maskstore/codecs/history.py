"""``history``: what training changed, given where it started and what an earlier task changed.

For tasks that are alike (RotatedMNIST's neighbours). The earlier mask, the *reference*, is another
task of the archive, stored by any other codec, so that a mask is never more than two payloads away.
"""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec
from maskstore.codecs.contextual.mask_coder import CodedMask, put_mask, take_mask
from maskstore.codecs.knowledge import Prior
from maskstore.layout import sha256_of_bits

DIGEST_BYTES = 8
"""How many bytes of its sha256 name the reference."""


class HistoryCodec(Codec):
    """Stores which mask the reference is; then as ``seeded``, with its flips among the contexts."""

    name = "history"
    id = 5

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        if prior.reference is None:
            return None
        stored = put_mask(packed, prior, prior.reference)
        if stored is None:
            return None
        return sha256_of_bits(prior.reference)[:DIGEST_BYTES] + stored

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        return self._read(stored, prior).packed(prior.layout)

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return self._read(stored, prior).layer_bits(prior.layout)

    def _read(self, stored: bytes, prior: Prior) -> CodedMask:
        own = stored[DIGEST_BYTES:]
        return take_mask(self.name, own, prior, lambda: prior.find(reference_of(stored)))


def reference_of(stored: bytes) -> bytes:
    """The first bytes of the sha256 of the mask that ``stored`` needs."""
    return stored[:DIGEST_BYTES]
