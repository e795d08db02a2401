"""The code of a mask given where its scores started and, if there is one, an earlier mask.

Training moves scores from values that a seed regenerates. A weight's bit is coded under a
probability that depends on its context (:mod:`maskstore.codecs.contextual.layer_model`). Every
context is whole numbers, so every machine finds the same.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import expands_too_far, require_sane_size
from maskstore.codecs.contextual.layer_model import LayerContexts, LayerModel
from maskstore.codecs.entropy.coder import Decoder, Encoder, uniform
from maskstore.codecs.entropy.levels import BITS_OF_ONE, BITS_OF_ZERO, put_bits, take_bits
from maskstore.codecs.knowledge import Prior, Start
from maskstore.errors import CorruptArchive
from maskstore.layout import MaskLayout
from maskstore.seeded.scores import put_start, take_start

_MAX_LAYERS = 4096
_SEGMENT = 1 << 20
"""Weights whose bits are sorted by level together."""

Packed = UInt8[np.ndarray, " bytes"]


class CodedMask(NamedTuple):
    """What a code says, all layers one after another.

    Attributes:
        coded: the bits that were coded: flips, or the mask itself.
        untrained: what they are flips of; zeros where they are the mask.
        levels: the probability level of each.
        model_bits: length of each layer's model in the code.
    """

    coded: UInt8[np.ndarray, " d"]
    untrained: UInt8[np.ndarray, " d"]
    levels: UInt8[np.ndarray, " d"]
    model_bits: list[int]

    def packed(self, layout: MaskLayout) -> Packed:
        """The mask."""
        return layout.pack_flat(self.coded ^ self.untrained)

    def layer_bits(self, layout: MaskLayout) -> list[float]:
        """What each layer takes.

        The bits of all layers are sorted together, so their share is the ideal code length, which
        the coder meets to a fraction of a percent; the models' lengths are measured.
        """
        ones, zeros = BITS_OF_ONE[self.levels - 1], BITS_OF_ZERO[self.levels - 1]
        cost = np.where(self.coded, ones, zeros)
        return [
            model + float(cost[where].sum())
            for model, (where, _) in zip(self.model_bits, layers_of(layout), strict=True)
        ]


def put_mask(packed: Packed, prior: Prior, earlier: Packed | None) -> bytes | None:
    """Where the scores started, and the code; None where that is not known or the code too short.

    Args:
        earlier: a mask that the decoder has.
    """
    layout = prior.layout
    if (
        prior.start is None
        or len(layout.shapes) > _MAX_LAYERS
        # The least that can be hoped for; saves drawing a start for nothing.
        or expands_too_far(layout.packed_bytes, layout.packed_bytes)
    ):
        return None
    header = put_start(prior.start)
    if header is None:
        return None
    stored = header + _encode(packed, layout, prior.draw(prior.start), earlier)
    return None if expands_too_far(packed.size, len(stored)) else stored


def take_mask(
    codec: str, stored: bytes, prior: Prior, find_earlier: Callable[[], Packed] | None
) -> CodedMask:
    """The inverse of :func:`put_mask`.

    Args:
        codec: its name, for errors.
        find_earlier: gives the mask that the encoder had; asked once the sizes have been checked.

    Raises:
        CorruptArchive: no encoder writes that.
    """
    layout = prior.layout
    require_sane_size(codec, layout.packed_bytes, len(stored))
    if len(layout.shapes) > _MAX_LAYERS:
        raise CorruptArchive(f"{codec} mask: expected at most {_MAX_LAYERS} layers")
    start, code = take_start(stored)
    earlier = None if find_earlier is None else find_earlier()
    return _decode(code, layout, prior.draw(start), earlier)


def layers_of(layout: MaskLayout) -> list[tuple[slice, tuple[int, int]]]:
    """Where each layer's weights are among all, and its (outputs, inputs of one output)."""
    found = []
    for name, shape, _, count in layout.layers():
        rows = shape[0] if len(shape) > 1 else 1
        found.append((layout.offsets[name], (rows, count // rows)))
    return found


def _encode(packed: Packed, layout: MaskLayout, start: Start, earlier: Packed | None) -> bytes:
    from maskstore.codecs import kernels

    bits = layout.unpack_flat(packed)
    flips = bits ^ start.mask
    # A top-k mask is no set of flips: the bits themselves follow the size of the score.
    as_flips = _information(flips, start.size) <= _information(bits, start.size)
    untrained = start.mask if as_flips else np.zeros_like(start.mask)
    coded = bits ^ untrained
    encoder = Encoder()
    encoder.put(uniform(2), [int(as_flips)])
    levels = np.empty(layout.bits, np.uint8)
    for where, known in _contexts(layout, start, untrained, earlier):
        model = LayerModel.choose(coded[where], known)
        model.put(encoder)
        levels[where] = model.levels(known)
    for segment in _segments(layout.bits):
        put_bits(
            encoder, _runs(levels[segment]), kernels.sort_bits(levels[segment], coded[segment])
        )
    return encoder.finish()


def _decode(code: bytes, layout: MaskLayout, start: Start, earlier: Packed | None) -> CodedMask:
    from maskstore.codecs import kernels

    decoder = Decoder(code)
    as_flips = decoder.take_one(uniform(2))
    untrained = start.mask if as_flips else np.zeros_like(start.mask)
    levels = np.empty(layout.bits, np.uint8)
    left = [decoder.bits_left]
    for where, known in _contexts(layout, start, untrained, earlier):
        levels[where] = LayerModel.take(decoder, known).levels(known)
        left.append(decoder.bits_left)
    coded = np.empty(layout.bits, np.uint8)
    for segment in _segments(layout.bits):
        in_order = take_bits(decoder, _runs(levels[segment]))
        coded[segment] = kernels.unsort_bits(levels[segment], in_order)
    decoder.finish()
    return CodedMask(
        coded=coded,
        untrained=untrained,
        levels=levels,
        model_bits=[before - after for before, after in pairwise(left)],
    )


def _contexts(
    layout: MaskLayout,
    start: Start,
    untrained: UInt8[np.ndarray, " d"],
    earlier: Packed | None,
) -> list[tuple[slice, LayerContexts]]:
    changed = None if earlier is None else layout.unpack_flat(earlier) ^ untrained
    return [
        (
            where,
            LayerContexts(
                shape=shape,
                size=start.size[where],
                toward=start.toward[where],
                earlier=None if changed is None else changed[where],
            ),
        )
        for where, shape in layers_of(layout)
    ]


def _segments(bits: int) -> list[slice]:
    return [slice(at, min(at + _SEGMENT, bits)) for at in range(0, bits, _SEGMENT)]


def _runs(levels: UInt8[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Each level that there is, from the lowest, and how many weights have it."""
    from maskstore.codecs import kernels

    counts = kernels.count_levels(levels).tolist()
    return [(level, count) for level, count in enumerate(counts) if count]


def _information(bits: UInt8[np.ndarray, " d"], size: UInt8[np.ndarray, " d"]) -> float:
    """Entropy of bits given the size of the initial score, in bits."""
    from maskstore.codecs import kernels

    clear, ones = kernels.count_contexts(np.zeros_like(size), size, bits, 1, 128).reshape(2, -1)
    counts = clear + ones
    p = np.clip(ones / np.maximum(counts, 1), 1e-12, 1 - 1e-12)
    return float(-(ones * np.log2(p) + (counts - ones) * np.log2(1 - p)).sum())
