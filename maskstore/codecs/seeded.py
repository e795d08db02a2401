"""``seeded``: what training changed, given where it started."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec
from maskstore.codecs.contextual.mask_coder import put_mask, take_mask
from maskstore.codecs.knowledge import Prior


class SeededCodec(Codec):
    """Stores the start, the model of every layer, and the bits sorted by their probability."""

    name = "seeded"
    id = 4

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        return put_mask(packed, prior, None)

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        return take_mask(self.name, stored, prior, None).packed(prior.layout)

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return take_mask(self.name, stored, prior, None).layer_bits(prior.layout)
