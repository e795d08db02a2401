"""The stored bytes against docs/codecs.md, by ``examples/read_archive.py``, which shares no code
with the package.

Also golden vectors: bytes that some release wrote and every later one must read.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples import read_archive as reader
from maskstore import MaskLayout
from maskstore.codecs import BY_NAME, FIRST_PRIVATE_ID, Prior
from maskstore.codecs.contextual.layer_model import LayerContexts, LayerModel
from maskstore.codecs.contextual.mask_coder import _segments
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


@pytest.fixture(autouse=True)
def codes(monkeypatch) -> list["CountingAns"]:
    """The codes that a test read; none may be longer than its model says."""
    read: list[CountingAns] = []
    monkeypatch.setattr(reader, "Ans", lambda code: read.append(CountingAns(code)) or read[-1])
    yield read
    assert all(8 * ans.bytes <= ans.ideal_bits * 1.001 + 32 for ans in read)


class CountingAns(reader.Ans):
    """Adds up what each symbol costs under its probability."""

    def __init__(self, code: bytes) -> None:
        super().__init__(code)
        self.bytes, self.ideal_bits = len(code), 0.0

    def take(self, weights):
        symbol = super().take(weights)
        self.ideal_bits += 24 - math.log2(reader.probabilities(tuple(weights))[symbol])
        return symbol


def layers_of(layout):
    return list(layout.shapes.items())


def same(bits, packed, layout):
    return np.array_equal(bits, layout.unpack_flat(packed))


@pytest.mark.parametrize("density", [0.5, 0.03, 1.0])
def test_ans_is_as_specified(density, codes):
    packed = packed_mask(LAYOUT, density)
    stored = BY_NAME["ans"].encode(packed, prior_of(LAYOUT))
    assert same(reader.decode_ans(stored, layers_of(LAYOUT)), packed, LAYOUT)
    assert len(codes) == 1


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
    assert same(reader.decode_seeded(stored, layers_of(LAYOUT), RECIPE), packed, LAYOUT)
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
    bits = LAYOUT.unpack_flat(earlier)
    assert same(reader.decode_seeded(stored[8:], layers_of(LAYOUT), RECIPE, bits), packed, LAYOUT)


START_OF = dict.fromkeys(("trained", "images", "sparse", "dense"), ScoreStart(seed=5))


def test_models_are_exact():
    """Every symbol of every model costs what its integer probability says: the states agree."""
    rng = np.random.default_rng(0)
    for weights in ([1, 1], [5, 1, 10**30], [1] * 129, [1 << s for s in (0, 15, 3)], [7] * 256):
        symbols = rng.integers(0, len(weights), 50)
        encoder = Encoder()
        encoder.put(model_of(weights), symbols)
        code = encoder.finish()
        ans = reader.Ans(code)
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


def test_what_every_release_must_cut_alike():
    """docs/codecs.md: segments of 2²⁰ weights; docs/format.md: numbers of one's own from 192."""
    assert _segments(2**20) == [slice(0, 2**20)]
    assert _segments(2**21 + 5) == [
        slice(0, 2**20),
        slice(2**20, 2**21),
        slice(2**21, 2**21 + 5),
    ]
    assert FIRST_PRIVATE_ID == 192
