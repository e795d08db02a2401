"""``ans``: independent bits, one density a layer, at their entropy."""

from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec, expands_too_far, require_sane_size
from maskstore.codecs.entropy.coder import Decoder, Encoder, uniform
from maskstore.codecs.entropy.levels import LEVELS, level_of, put_bits, take_bits
from maskstore.codecs.knowledge import Prior
from maskstore.layout import count_ones


class AnsCodec(Codec):
    """Stores, per layer, its probability level; then, per layer, its bits under that level."""

    name = "ans"
    id = 3

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        encoder = Encoder()
        layers = [(packed[where], bits) for _, _, where, bits in prior.layout.layers()]
        levels = [level_of(count_ones(layer), bits) for layer, bits in layers]
        encoder.put(uniform(LEVELS), [level - 1 for level in levels])
        for level, (layer, bits) in zip(levels, layers, strict=True):
            put_bits(encoder, [(level, bits)], np.unpackbits(layer, count=bits, bitorder="little"))
        stored = encoder.finish()
        return None if expands_too_far(packed.size, len(stored)) else stored

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        return self._decode(stored, prior)[0]

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        return self._decode(stored, prior)[1]

    def _decode(
        self, stored: bytes, prior: Prior
    ) -> tuple[UInt8[np.ndarray, " bytes"], list[float]]:
        """(packed mask, bits of code that each layer took)."""
        layout = prior.layout
        require_sane_size(self.name, layout.packed_bytes, len(stored))
        decoder = Decoder(stored)
        levels = decoder.take(uniform(LEVELS), len(layout.shapes))
        packed = np.empty(layout.packed_bytes, np.uint8)
        left = [decoder.bits_left]
        for level, (_, _, where, bits) in zip(levels.tolist(), layout.layers(), strict=True):
            layer = take_bits(decoder, [(level + 1, bits)])
            packed[where] = np.packbits(layer, bitorder="little")
            left.append(decoder.bits_left)
        decoder.finish()
        return packed, [float(before - after) for before, after in pairwise(left)]
