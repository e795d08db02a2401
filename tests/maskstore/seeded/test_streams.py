"""Seeded arrays against a Philox written from the paper, SciPy's quantiles, and golden values."""

import hashlib
import math

import numpy as np
import pytest
from scipy.special import ndtri

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from maskstore.seeded.normal import standard_normal_quantile

WORD = 2**64


def philox_words(seed: int, purpose: str, count: int) -> list[int]:
    """Philox4x64-10 from Salmon et al. (2011), section 3.3, in Python integers."""
    text = f"supsup-store seeded v1|{seed}|{purpose}".encode()
    key = hashlib.sha256(text).digest()[:16]
    words: list[int] = []
    for counter in range(1, 2 + count // 4):
        x = [counter, 0, 0, 0]
        k = [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")]
        for _ in range(10):
            high0, low0 = divmod(0xD2E7470EE14C6C93 * x[0], WORD)
            high1, low1 = divmod(0xCA5A826395121157 * x[2], WORD)
            x = [high1 ^ x[1] ^ k[0], low1, high0 ^ x[3] ^ k[1], low0]
            k = [(k[0] + 0x9E3779B97F4A7C15) % WORD, (k[1] + 0xBB67AE8584CAA73B) % WORD]
        words += x
    return words[:count]


def sha256(array: np.ndarray) -> str:
    assert array.flags.c_contiguous
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()[:16]


def test_the_words_are_philox_of_the_documented_key():
    words = seeded.stream(7, "weights/fc1.weight").random_raw(9)
    assert words.tolist() == philox_words(7, "weights/fc1.weight", 9)


def test_uniform_is_the_documented_transform():
    expected = [-0.5 + 2.0 * (w // 2**11 / 2**53) for w in philox_words(1, "u", 11)]
    assert seeded.uniform(1, "u", (11,), -0.5, 1.5).tolist() == [
        float(np.float32(e)) for e in expected
    ]


def test_normal_is_the_documented_transform():
    unit = np.array([(w // 2**12 + 0.5) / 2**52 for w in philox_words(1, "n", 1000)])
    drawn = seeded.normal(1, "n", (10, 100), 0.25)
    np.testing.assert_allclose(drawn.ravel(), 0.25 * ndtri(unit), rtol=1e-7)


def test_signs_take_one_bit_each_lowest_first():
    words = philox_words(3, "s", 2)
    expected = [1.0 if words[i // 64] >> (i % 64) & 1 else -1.0 for i in range(70)]
    assert seeded.signs(3, "s", (7, 10)).ravel().tolist() == expected


def test_permutation_sorts_the_words():
    words = philox_words(5, "permuted/0", 784)
    assert seeded.permutation(5, "permuted/0", 784).tolist() == sorted(
        range(784), key=words.__getitem__
    )


def test_integers_are_the_words_modulo_high():
    assert seeded.integers(5, "i", (2, 3), 10).ravel().tolist() == [
        w % 10 for w in philox_words(5, "i", 6)
    ]


def test_quantile_agrees_with_scipy_to_the_last_digits():
    p = np.concatenate(
        [np.linspace(0.0001, 0.9999, 20001), 10.0 ** -np.linspace(4, 300, 500), [0.5, 2.0**-53]]
    )
    reference = ndtri(p)
    error = np.abs(standard_normal_quantile(p) - reference) / np.maximum(np.abs(reference), 1e-3)
    assert error.max() < 4e-15


def test_quantile_is_odd():
    p = (np.arange(1, 1000) + 0.5) * 2.0**-11
    np.testing.assert_array_equal(standard_normal_quantile(1 - p), -standard_normal_quantile(p))


# Any other machine, numpy or processor must give these bits: archives depend on them.
GOLDEN = {
    "uniform": "1e9420bd3fe7c671",
    "normal": "161241ee267e5756",
    "signs": "6fbb37ea714ca090",
    "permutation": "6255a174bb41c0be",
    "integers": "aafea04ba2d3f661",
}


def test_golden_digests_over_more_than_one_chunk():
    shape = (300, 301)
    drawn = {
        "uniform": seeded.uniform(0, "golden", shape, -1.0, 1.0),
        "normal": seeded.normal(0, "golden", shape, 1.0),
        "signs": seeded.signs(0, "golden", shape),
        "permutation": seeded.permutation(0, "golden", 784),
        "integers": seeded.integers(0, "golden", shape, 1000),
    }
    assert {name: sha256(array) for name, array in drawn.items()} == GOLDEN


def test_golden_values():
    assert seeded.normal(0, "golden", (3,), 1.0).tolist() == [
        1.2282174825668335,
        0.04277140274643898,
        1.4223685264587402,
    ]
    assert seeded.uniform(0, "golden", (3,), -1.0, 1.0).tolist() == [
        0.7806346416473389,
        0.0341162383556366,
        0.8450806736946106,
    ]


def test_a_prefix_does_not_depend_on_the_length():
    long = seeded.normal(2, "w", (70_000,), 1.0)
    np.testing.assert_array_equal(long[:100], seeded.normal(2, "w", (100,), 1.0))


def test_seed_and_purpose_each_change_the_stream():
    drawn = [
        seeded.uniform(seed, purpose, (50,), 0.0, 1.0)
        for seed, purpose in ((0, "a"), (1, "a"), (0, "b"), (11, "a"), (1, "1|a"))
    ]
    assert len({array.tobytes() for array in drawn}) == len(drawn)


def test_moments():
    n = 200_000
    normal, uniform = seeded.normal(4, "m", (n,), 2.0), seeded.uniform(4, "m", (n,), -3.0, 1.0)
    assert abs(normal.mean()) < 5 * 2 / math.sqrt(n)
    assert abs(normal.std() - 2) < 0.02
    assert abs(uniform.mean() + 1) < 0.02
    assert uniform.min() >= -3
    assert uniform.max() <= 1
    assert abs(seeded.signs(4, "m", (n,)).mean()) < 5 / math.sqrt(n)


@pytest.mark.parametrize("seed", [-1, True, 1.0, "1", None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(InvalidInput, match="seed: expected a whole number"):
        seeded.parse_seed(seed)


def test_numpy_seeds_are_the_same_seeds():
    assert seeded.parse_seed(np.int64(3)) == 3


@pytest.mark.parametrize("high", [0, -1, 2**63 + 1])
def test_integers_refuse_an_impossible_bound(high):
    with pytest.raises(InvalidInput, match="1 <= high"):
        seeded.integers(0, "i", (1,), high)


@pytest.mark.parametrize("draw", [seeded.normal, seeded.uniform, seeded.signs])
def test_empty_arrays(draw):
    bounds = {seeded.normal: (1.0,), seeded.uniform: (0.0, 1.0), seeded.signs: ()}[draw]
    assert draw(0, "e", (0, 3), *bounds).shape == (0, 3)
