"""``seeded``: what training changed, given where it started.

Training moves scores from values that a seed regenerates. A weight's bit is coded under a
probability that depends on its context: the layer, the size of its initial score, and which way and
how hard training pulled it (:mod:`maskstore.codecs.pull`). Every context is whole numbers, so every
machine finds the same.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec, expands_too_far, require_sane_size
from maskstore.codecs.coder import Decoder, Encoder, uniform
from maskstore.codecs.fit import fit_pull
from maskstore.codecs.levels import BITS_OF_ONE, BITS_OF_ZERO, put_bits, take_bits
from maskstore.codecs.prior import Prior, Start
from maskstore.codecs.pull import MAX_RANK, PULLS, Pull
from maskstore.codecs.search import Task
from maskstore.codecs.startcode import put_start, take_start
from maskstore.codecs.table import choose_table, put_table, take_table
from maskstore.errors import CorruptArchive
from maskstore.layout import MaskLayout

_SEGMENT = 1 << 20
"""Weights whose bits are sorted by level together."""
_MAX_LAYERS = 4096
_SIZE_BITS = range(8)
_FIT_SIZE_BITS = 4
_FEW_WEIGHTS = 64
"""Below that a layer's own contexts can not pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerModel:
    """How the bits of one layer depend on their contexts.

    Attributes:
        size_bits: how many of the highest bits of the initial score's size count.
        oriented: whether the sign of the pull counts, towards a flip or against it. It can count
            with no pull: then it is the weight's own sign that does.
        pull: None where nothing was found that pays.
        table: probability level by pull (rows) and size (columns).
        spread: parameter of the table's code.
    """

    size_bits: int
    oriented: bool
    pull: Pull | None
    table: UInt8[np.ndarray, "row column"]
    spread: int


class SeededCodec(Codec):
    """Stores the start, the model of every layer, and the bits sorted by their probability."""

    name = "seeded"
    id = 4

    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        from maskstore.codecs import kernels

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
        start = prior.draw(prior.start)
        bits = np.concatenate([layer.reshape(-1) for layer in layout.unpack(packed).values()])
        bits = bits.view(np.uint8)
        flips = bits ^ start.mask
        # A top-k mask is no set of flips: the bits themselves follow the size of the score.
        as_flips = _information(flips, start.size) <= _information(bits, start.size)
        if not as_flips:
            flips = bits
        encoder = Encoder()
        encoder.put(uniform(2), [int(as_flips)])
        levels = np.empty(layout.bits, np.uint8)
        for where, shape in _layers(layout):
            model = _choose_model(flips[where], start, where, shape)
            _put_model(encoder, model)
            levels[where] = _levels(model, start, where, shape)
        for segment in _segments(layout.bits):
            put_bits(
                encoder, _runs(levels[segment]), kernels.sort_bits(levels[segment], flips[segment])
            )
        stored = header + encoder.finish()
        return None if expands_too_far(packed.size, len(stored)) else stored

    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        layout = prior.layout
        read = self._read(stored, prior)
        bits = read.coded ^ read.untrained
        packed = np.empty(layout.packed_bytes, np.uint8)
        for (where, _), (_, _, place, _) in zip(_layers(layout), layout.layers(), strict=True):
            packed[place] = np.packbits(bits[where], bitorder="little")
        return packed

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float]:
        # The bits of all layers are sorted together, so their share is the ideal code length,
        # which the coder meets to a fraction of a percent; the models' lengths are measured.
        read = self._read(stored, prior)
        cost = np.where(read.coded, BITS_OF_ONE[read.levels - 1], BITS_OF_ZERO[read.levels - 1])
        return [
            model + float(cost[where].sum())
            for model, (where, _) in zip(read.model_bits, _layers(prior.layout), strict=True)
        ]

    def _read(self, stored: bytes, prior: Prior) -> "_Read":
        from maskstore.codecs import kernels

        layout = prior.layout
        require_sane_size(self.name, layout.packed_bytes, len(stored))
        if len(layout.shapes) > _MAX_LAYERS:
            raise CorruptArchive(f"seeded mask: expected at most {_MAX_LAYERS} layers")
        parsed, code = take_start(stored)
        start = prior.draw(parsed)
        decoder = Decoder(code)
        as_flips = decoder.take_one(uniform(2))
        levels = np.empty(layout.bits, np.uint8)
        left = [decoder.bits_left]
        for where, shape in _layers(layout):
            levels[where] = _levels(_take_model(decoder, shape), start, where, shape)
            left.append(decoder.bits_left)
        coded = np.empty(layout.bits, np.uint8)
        for segment in _segments(layout.bits):
            in_order = take_bits(decoder, _runs(levels[segment]))
            coded[segment] = kernels.unsort_bits(levels[segment], in_order)
        decoder.finish()
        return _Read(
            coded=coded,
            untrained=start.mask if as_flips else np.zeros_like(start.mask),
            levels=levels,
            model_bits=[before - after for before, after in pairwise(left)],
        )


class _Read(NamedTuple):
    """What a payload says, all layers one after another.

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


def _layers(layout: MaskLayout) -> list[tuple[slice, tuple[int, int]]]:
    """Where each layer's weights are among all, and its (outputs, inputs of one output)."""
    found = []
    at = 0
    for _, shape, _, count in layout.layers():
        rows = shape[0] if len(shape) > 1 else 1
        found.append((slice(at, at + count), (rows, count // rows)))
        at += count
    return found


def _segments(bits: int) -> list[slice]:
    return [slice(at, min(at + _SEGMENT, bits)) for at in range(0, bits, _SEGMENT)]


def _runs(levels: UInt8[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Each level that there is, from the lowest, and how many weights have it."""
    from maskstore.codecs import kernels

    counts = kernels.count_levels(levels).tolist()
    return [(level, count) for level, count in enumerate(counts) if count]


def _max_rank(shape: tuple[int, int]) -> int:
    """No more numbers in a pull than half as many as the layer has weights."""
    rows, columns = shape
    return min(MAX_RANK, rows * columns // (2 * (rows + columns)))


def _put_model(encoder: Encoder, model: LayerModel) -> None:
    rank = 0 if model.pull is None else model.pull.rows.shape[1]
    encoder.put(uniform(MAX_RANK + 1), [rank])
    encoder.put(uniform(len(_SIZE_BITS)), [model.size_bits])
    if model.pull is None:
        encoder.put(uniform(2), [int(model.oriented)])
    else:
        model.pull.put(encoder)
    put_table(encoder, model.table, model.spread)


def _take_model(decoder: Decoder, shape: tuple[int, int]) -> LayerModel:
    rank = decoder.take_one(uniform(MAX_RANK + 1))
    if rank > _max_rank(shape):
        raise CorruptArchive(f"seeded mask: a pull of rank {rank} for a layer of shape {shape}")
    size_bits = decoder.take_one(uniform(len(_SIZE_BITS)))
    if rank:
        pull, rows = Pull.take(decoder, rank, shape), PULLS
    else:
        pull, rows = None, 1 + decoder.take_one(uniform(2))
    table, spread = take_table(decoder, rows, 1 << size_bits)
    return LayerModel(size_bits=size_bits, oriented=rows > 1, pull=pull, table=table, spread=spread)


def _levels(
    model: LayerModel, start: Start, where: slice, shape: tuple[int, int]
) -> UInt8[np.ndarray, " n"]:
    """The probability level of every weight of a layer."""
    from maskstore.codecs import kernels

    rows = _rows_of_table(model.oriented, model.pull, start.toward[where])
    shift = np.uint8(7 - model.size_bits)
    levels: UInt8[np.ndarray, " n"]
    levels = kernels.look_up_levels(rows, start.size[where], shift, model.table)
    return levels


def _rows_of_table(
    oriented: bool, pull: Pull | None, toward: UInt8[np.ndarray, " n"]
) -> UInt8[np.ndarray, " n"]:
    """The row of every weight's context."""
    if pull is not None:
        return pull.rows_of_table(toward)
    return toward if oriented else np.zeros_like(toward)


def _choose_model(
    flips: UInt8[np.ndarray, " n"], start: Start, where: slice, shape: tuple[int, int]
) -> LayerModel:
    """The cheapest of a few models of a layer: contexts off, then on one after another."""
    from maskstore.codecs import kernels

    size, toward = start.size[where], start.toward[where]
    options: list[tuple[bool, Pull | None, tuple[int, ...]]] = [(False, None, (0,))]
    if flips.size >= _FEW_WEIGHTS and flips.any():
        options = [(False, None, (0, _FIT_SIZE_BITS, 7)), (True, None, (_FIT_SIZE_BITS,))]
        if _max_rank(shape):
            task = Task(
                flips=flips.reshape(shape),
                size=(size >> (7 - _FIT_SIZE_BITS)).reshape(shape),
                toward=toward.reshape(shape),
                sizes=1 << _FIT_SIZE_BITS,
            )
            pull = fit_pull(task, _max_rank(shape))
            if pull is not None:
                options.append((True, pull, (2, 3, 4, 5)))
    best, best_bits = None, np.inf
    for oriented, pull, tried in options:
        number = PULLS if pull is not None else 1 + oriented
        rows = _rows_of_table(oriented, pull, toward)
        clear, ones = kernels.count_contexts(rows, size, flips, number)
        for size_bits in tried:
            coarse = (number, 1 << size_bits, -1)
            table, spread, bits = choose_table(
                ones.reshape(coarse).sum(axis=2), clear.reshape(coarse).sum(axis=2)
            )
            bits += 0.0 if pull is None else pull.code_bits()
            if bits < best_bits:
                best_bits = bits
                best = LayerModel(
                    size_bits=size_bits, oriented=oriented, pull=pull, table=table, spread=spread
                )
    assert best is not None
    return best


def _information(bits: UInt8[np.ndarray, " d"], size: UInt8[np.ndarray, " d"]) -> float:
    """Entropy of bits given the size of the initial score, in bits."""
    counts = np.bincount(size, minlength=128)
    ones = np.bincount(size[bits.view(np.bool_)], minlength=128)
    p = np.clip(ones / np.maximum(counts, 1), 1e-12, 1 - 1e-12)
    return float(-(ones * np.log2(p) + (counts - ones) * np.log2(1 - p)).sum())
