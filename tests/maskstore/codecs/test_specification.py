"""The stored bytes against docs/codecs.md, by a decoder that shares no code with the package.

Also golden vectors: bytes that some release wrote and every later one must read.
"""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskstore import MaskLayout
from maskstore.codecs import BY_NAME, Prior
from maskstore.codecs.contextual.layer_model import LayerContexts, LayerModel
from maskstore.codecs.entropy.coder import Decoder, Encoder, geometric, model_of, uniform
from maskstore.layout import sha256_of_bits
from maskstore.seeded.scores import ScoreStart, take_start
from tests.maskstore.codecs.helpers import (
    LAYOUT,
    RECIPE,
    almost,
    packed_mask,
    prior_of,
    trained_masks,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "codecs.json"


class Ans:
    """The coder of docs/codecs.md in plain Python."""

    def __init__(self, code: bytes) -> None:
        code += bytes(-len(code) % 4)
        self.words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
        self.state = 0
        self.ideal_bits = 0.0
        for _ in range(2):
            self.state = self.state << 32 | (self.words.pop() if self.words else 0)

    def take(self, weights):
        n, total = len(weights), sum(weights)
        p = [1 + ((1 << 24) - n) * w // total for w in weights]
        p[max(range(n), key=lambda j: (weights[j], -j))] += (1 << 24) - sum(p)
        low = self.state & 0xFFFFFF
        symbol, left = 0, 0
        while left + p[symbol] <= low:
            left += p[symbol]
            symbol += 1
        self.ideal_bits += 24 - math.log2(p[symbol])
        self.state = (self.state >> 24) * p[symbol] + low - left
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol


def numerator(level):
    from maskstore.codecs.entropy.levels import NUMERATORS

    return NUMERATORS[level]


def take_bits(ans, level, n):
    one = numerator(level)
    zero = (1 << 20) - one
    octet = [one ** b.bit_count() * zero ** (8 - b.bit_count()) for b in range(256)]
    bits = []
    for _ in range(n // 8):
        byte = ans.take(octet)
        bits += [byte >> i & 1 for i in range(8)]
    return bits + [ans.take([zero, one]) for _ in range(n % 8)]


def geometric_weights(spread, limit):
    return [(spread ** abs(j) << 64) >> 4 * abs(j) for j in range(-limit, limit + 1)]


def take_plain(ans, length):
    limit = 1 + ans.take([1] * 7)
    scale = [ans.take([1] * 16) for _ in range(2 * limit + 1)]
    weights = [1 << each for each in scale]
    return [ans.take(weights) - limit for _ in range(length)], limit


def take_plain_vectors(ans, rank, length, width=0):
    return np.array([take_plain(ans, length)[0] for _ in range(rank)])


def take_images(ans, rank, length, width):
    pixels = [divmod(at, width) for at in range(length)]
    vectors = np.zeros((rank, length), int)
    first = [at for at, (y, x) in enumerate(pixels) if y % 2 == 0 and x % 2 == 0]
    numbers, limit = take_plain(ans, rank * len(first))
    vectors[:, first] = np.array(numbers).reshape(rank, -1)
    diagonal = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    beside = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    for steps, odd in ((diagonal, (1, 1)), (beside, None)):
        places = [
            (k, at, y, x)
            for k in range(rank)
            for at, (y, x) in enumerate(pixels)
            if ((y % 2, x % 2) == odd if odd else (y + x) % 2)
        ]
        spread = 1 + ans.take([1] * 32)
        sums = [
            sum(
                vectors[k, (y + dy) * width + x + dx]
                for dy, dx in steps
                if y + dy >= 0 and 0 <= x + dx < width and (y + dy) * width + x + dx < length
            )
            for k, _, y, x in places
        ]
        found = {}
        for total in sorted(set(sums)):
            away = [abs(4 * number - total) for number in range(-limit, limit + 1)]
            weights = [1 + (int(spread) ** int(d) * 2**64 >> 5 * int(d)) for d in away]
            for place, its in zip(places, sums, strict=True):
                if its == total:
                    found[place] = ans.take(weights) - limit
        for (k, at, _, _), number in found.items():
            vectors[k, at] = number
    return vectors


def philox(purpose, seed, count):
    key = hashlib.sha256(f"supsup-store seeded v1|{seed}|{purpose}".encode()).digest()[:16]
    generator = np.random.Philox(key=int.from_bytes(key, "little"), counter=0)
    return [int(word) for word in generator.random_raw(count)]


def read_ans(stored, layout):
    ans = Ans(stored)
    levels = [1 + ans.take([1] * 127) for _ in layout.shapes]
    masks = {
        name: np.array(take_bits(ans, level, bits), bool)
        for level, (name, _, _, bits) in zip(levels, layout.layers(), strict=True)
    }
    assert 8 * len(stored) <= ans.ideal_bits * 1.001 + 32
    return masks


def read_seeded(stored, layout, recipe, earlier=None):
    seed_bytes, named = divmod(stored[0], 2)
    end = 1 + seed_bytes
    seed = int.from_bytes(stored[1:end], "little")
    stream = "scores"
    if named:
        stream = stored[end + 1 : end + 1 + stored[end]].decode()
        end += 1 + stored[end]
    ans = Ans(stored[end:])
    flips = ans.take([1, 1])
    levels, masks, before = [], [], 0
    for name, shape, _, bits in layout.layers():
        rows = shape[0] if len(shape) > 1 else 1
        columns = bits // rows
        rank, size_bits = ans.take([1] * 32), ans.take([1] * 8)
        if rank:
            cuts = sorted(ans.take([1] * 129) for _ in range(7))
            width = ans.take([1] * 256)
            sides = [take_plain_vectors(ans, rank, rows)]
            take = take_images if width else take_plain_vectors
            sides.append(take(ans, rank, columns, width))
            pull = np.clip(sides[0].T @ sides[1], -128, 127).reshape(-1)
            lines = 16
        else:
            lines = 1 + ans.take([1, 1])
        spread = 1 + ans.take([1] * 16)
        wide = 1 << size_bits if earlier is None else 2 << size_bits
        table = np.zeros((lines, wide), int)
        for i in range(lines):
            for j in range(wide):
                up, left = table[i - 1, j], table[i, j - 1]
                if i == 0:
                    guess = left if j else 64
                elif j == 0:
                    guess = up
                else:
                    guess = sorted((up, left, up + left - table[i - 1, j - 1]))[1]
                distance = ans.take(geometric_weights(spread, 24)) - 24
                table[i, j] = min(max(guess + distance, 1), 127)
        score_words = philox(f"{stream}/{name}", seed, bits)
        weight_words = philox(f"weights/{name}", recipe["seed"], -(-bits // 64))
        for at, word in enumerate(score_words):
            start = word >> 63
            size = word >> 56 & 127
            size = (size if start else 127 - size) >> (7 - size_bits)
            positive = weight_words[at // 64] >> at % 64 & 1 if len(shape) > 1 else 1
            if rank:
                step = sum(cut <= abs(pull[at]) for cut in cuts)
                line = 8 + step if pull[at] >= 0 else 7 - step
                if positive == start:
                    line = 15 - line
            else:
                line = (positive != start) if lines > 1 else 0
            if earlier is not None and earlier[before + at] != (start if flips else 0):
                size += 1 << size_bits
            levels.append(table[int(line), size])
            masks.append(start if flips else 0)
        before += bits
    levels, bits = np.array(levels), np.array(masks)
    for at in range(0, len(levels), 1 << 20):
        part = slice(at, at + (1 << 20))
        for level in np.unique(levels[part]):
            chosen = np.flatnonzero(levels[part] == level) + at
            bits[chosen] ^= np.array(take_bits(ans, level, len(chosen)))
    assert ans.state == 0
    assert not ans.words
    assert 8 * len(stored[end:]) <= ans.ideal_bits * 1.001 + 32
    out, at = {}, 0
    for name, _, _, count in layout.layers():
        out[name] = bits[at : at + count].astype(bool)
        at += count
    return out


def same(found, packed, layout):
    expected = layout.unpack(packed)
    return all(np.array_equal(found[name], expected[name].reshape(-1)) for name in expected)


@pytest.mark.parametrize("density", [0.5, 0.03, 1.0])
def test_ans_is_as_specified(density):
    packed = packed_mask(LAYOUT, density)
    assert same(read_ans(BY_NAME["ans"].encode(packed, prior_of(LAYOUT)), LAYOUT), packed, LAYOUT)


@pytest.mark.parametrize("what", ["trained", "images", "another start", "sparse", "dense"])
def test_seeded_is_as_specified(what):
    start = ScoreStart(seed=300, stream="scores/x") if what == "another start" else START_OF[what]
    packed = {
        "trained": lambda: LAYOUT.pack(trained_masks(LAYOUT, rank=1)),
        "images": lambda: LAYOUT.pack(trained_masks(LAYOUT, rank=2, smooth=True)),
        "another start": lambda: LAYOUT.pack(trained_masks(LAYOUT, start=start)),
        "sparse": lambda: packed_mask(LAYOUT, 0.02),
        "dense": lambda: packed_mask(LAYOUT, 0.5),
    }[what]()
    stored = BY_NAME["seeded"].encode(packed, prior_of(LAYOUT, start))
    assert same(read_seeded(stored, LAYOUT, RECIPE), packed, LAYOUT)
    if what == "images":
        prior = prior_of(LAYOUT, None)
        code = Decoder(take_start(stored)[1])
        code.take_one(uniform(2))
        contexts = np.zeros(60 * 144, np.uint8)
        known = LayerContexts(shape=(60, 144), size=contexts, toward=contexts, earlier=None)
        assert LayerModel.take(code, known).pull.width == 12
        assert np.array_equal(BY_NAME["seeded"].decode(stored, prior), packed)


@pytest.mark.parametrize("what", ["trained", "sparse", "noise"])
def test_history_is_as_specified(what):
    packed = {
        "trained": LAYOUT.pack(trained_masks(LAYOUT, rank=1)),
        "sparse": packed_mask(LAYOUT, 0.02),
        "noise": packed_mask(LAYOUT, 0.5),
    }[what]
    earlier = almost(packed, LAYOUT, 0.02)
    stored = BY_NAME["history"].encode(packed, prior_of(LAYOUT, reference=earlier))
    assert stored[:8] == sha256_of_bits(earlier)[:8]
    bits = np.concatenate([layer.reshape(-1) for layer in LAYOUT.unpack(earlier).values()])
    assert same(read_seeded(stored[8:], LAYOUT, RECIPE, bits), packed, LAYOUT)


START_OF = dict.fromkeys(("trained", "images", "sparse", "dense"), ScoreStart(seed=5))


def test_models_are_exact():
    """Every symbol of every model costs what its integer probability says: the states agree."""
    rng = np.random.default_rng(0)
    for weights in ([1, 1], [5, 1, 10**30], [1] * 129, [1 << s for s in (0, 15, 3)], [7] * 256):
        symbols = rng.integers(0, len(weights), 50)
        encoder = Encoder()
        encoder.put(model_of(weights), symbols)
        code = encoder.finish()
        ans = Ans(code)
        assert [ans.take(weights) for _ in symbols] == symbols.tolist()
        assert Decoder(code).take(model_of(weights), 50).tolist() == symbols.tolist()
    assert Decoder(b"").take(geometric(3, 24), 1).shape == (1,)


def test_golden_vectors():
    for vector in json.loads(GOLDEN.read_text()):
        layout = MaskLayout.from_json(vector["layout"])
        prior = Prior.of_archive(layout, vector["backbone"])
        if "reference" in vector:
            reference = np.frombuffer(bytes.fromhex(vector["reference"]), np.uint8)
            prior = replace(prior, find=lambda digest, found=reference: found)
        packed = BY_NAME[vector["codec"]].decode(bytes.fromhex(vector["stored"]), prior)
        assert sha256_of_bits(packed).hex() == vector["sha256"], vector["what"]
