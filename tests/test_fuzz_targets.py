"""The readers that ``benchmarks/coverage_fuzz.py`` feeds: sound files, and a few altered."""

import gzip
import random
from collections import Counter

import pytest

from tests.fuzz_targets import CORPUS, TARGETS, sealed_archive

ALTERED = 60


def altered(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 4)) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)


@pytest.mark.parametrize("name", TARGETS)
def test_altered_files_are_read_or_refused(name):
    target, rng = TARGETS[name], random.Random(name)
    seeds = list(target.seeds())
    assert all(target.read(seed) == "read" for seed in seeds)
    outcomes = Counter()
    for _ in range(ALTERED):
        bad = target.alter(
            rng.choice(seeds), lambda piece: altered(piece, rng), rng.randrange(2**31)
        )
        outcomes[target.read(bad)] += 1
    assert outcomes["refused"] + outcomes["damaged"] > 3, outcomes


def test_sealing_changes_nothing_in_a_sound_archive():
    for seed in TARGETS["archive"].seeds():
        assert sealed_archive(seed) == seed


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_found_is_read_or_refused(name):
    """Each of them runs a branch of the readers that no smaller one does."""
    inputs = sorted((CORPUS / name).iterdir())
    outcomes = Counter(TARGETS[name].read(gzip.decompress(path.read_bytes())) for path in inputs)
    assert len(inputs) > 5
    assert outcomes["refused"] + outcomes["damaged"] > 3, outcomes


def test_what_fuzzing_found_is_small():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(TARGETS)
    assert sum(path.stat().st_size for path in files) < 200_000
