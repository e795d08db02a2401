"""Bytes that no encoder wrote end in CorruptArchive or in some mask, fast and in little memory.

That a wrong mask never passes as good is the archive's part (its sha256); see ``test_fuzz.py``.
"""

import random
import time
import tracemalloc

import pytest
import zstandard

from maskstore import CorruptArchive, MaskLayout
from maskstore.codecs import BY_NAME, CODECS
from tests.maskstore.codecs.helpers import LAYOUT, packed_mask, prior_of, trained_masks


def mutations(stored: bytes, rng: random.Random):
    yield b""
    yield stored + b"\x01"
    yield stored[:-1]
    while True:
        data = bytearray(stored)
        for _ in range(rng.choice((1, 1, 2, 20))):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        if rng.random() < 0.1:
            data += rng.randbytes(rng.randrange(1, 50))
        yield bytes(data)


@pytest.mark.parametrize("codec", CODECS, ids=BY_NAME)
def test_mutated_bytes(codec):
    rng = random.Random(codec.name)
    sparse = packed_mask(LAYOUT, 0.05)
    trained = LAYOUT.pack(trained_masks(LAYOUT))
    encoded = [codec.encode(each, prior_of(LAYOUT)) for each in (sparse, trained)]
    bad = [mutations(each, rng) for each in encoded if each is not None]
    prior = prior_of(LAYOUT, None)
    for each in encoded:  # what is made once, kernels and models, is not what is measured
        if each is not None:
            codec.decode(each, prior)
    refused = 0
    tracemalloc.start()
    for at in range(300):
        data = next(bad[at % len(bad)])
        start = time.process_time()  # others may have the processor
        try:
            packed = codec.decode(data, prior)
        except CorruptArchive:
            refused += 1
        else:
            assert packed.shape == (LAYOUT.packed_bytes,)
        assert time.process_time() - start < 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 20
    assert peak < 30e6


@pytest.mark.parametrize("codec", CODECS, ids=BY_NAME)
def test_random_bytes(codec):
    rng = random.Random(0)
    refused = 0
    lengths = (0, 1, 2, 3, 4, 5, 8, 17, 400, LAYOUT.packed_bytes - 1)
    for length in lengths:
        try:
            packed = codec.decode(rng.randbytes(length), prior_of(LAYOUT, None))
        except CorruptArchive:
            refused += 1
        else:
            assert packed.shape == (LAYOUT.packed_bytes,)
    # A few bytes may well be the code of a mask with few ones.
    assert refused >= 3


@pytest.mark.parametrize("codec", CODECS, ids=BY_NAME)
def test_a_huge_mask_from_few_bytes_is_refused(codec):
    huge = MaskLayout({"w": (1 << 16, 1 << 15)})
    small = MaskLayout({"w": (1 << 5, 1 << 5)})
    stored = codec.encode(packed_mask(small, 0.0), prior_of(small))
    tracemalloc.start()
    with pytest.raises(CorruptArchive):
        codec.decode(stored, prior_of(huge, None))
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_zstd_bomb_in_gaps_is_refused():
    bomb = b"\1" + zstandard.ZstdCompressor().compress(bytes(1 << 20))
    with pytest.raises(CorruptArchive, match="declares 1048576"):
        BY_NAME["gaps"].decode(bomb, prior_of(LAYOUT, None))


def test_gaps_beyond_the_end_are_refused():
    beyond = b"\1" + zstandard.ZstdCompressor().compress(b"\xff" * 60)
    with pytest.raises(CorruptArchive, match="beyond the 10881 bits"):
        BY_NAME["gaps"].decode(beyond, prior_of(LAYOUT, None))


@pytest.mark.parametrize(
    "start", [b"\x12", b"\x02", b"\x11" + bytes(8), b"\x01\x03a", b"\x01\x01\n", b"\x01\x01\xff"]
)
def test_an_impossible_start_is_refused(start):
    with pytest.raises(CorruptArchive, match="start"):
        BY_NAME["seeded"].decode(start, prior_of(LAYOUT, None))
