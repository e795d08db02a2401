"""Every rule against a naive d × d implementation on small random patterns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfield import RULES, capacity, crosstalk, is_attractor, overlap, settle
from hopfield.rules.covariance import CovarianceMemory
from hopfield.rules.modern import ModernMemory
from maskstore import InvalidInput

MATRIX_RULES = ("hebb", "covariance", "storkey", "projection")


def patterns(seed, count, size):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (count, size))


def naive_storkey(z):
    d = z.shape[1]
    w = np.zeros((d, d))
    for x in z.astype(float):
        new = w.copy()
        for i in range(d):
            for j in range(d):
                if i == j:
                    continue
                h_ij = sum(w[i, k] * x[k] for k in range(d) if k not in (i, j))
                h_ji = sum(w[j, k] * x[k] for k in range(d) if k not in (i, j))
                new[i, j] += (x[i] * x[j] - x[i] * h_ji - h_ij * x[j]) / d
        w = new
    return w


def naive(rule, z, mean=0.0):
    d = z.shape[1]
    if rule in ("hebb", "covariance"):
        w = sum(np.outer(x - mean, x - mean) for x in z.astype(float)) / d
    elif rule == "storkey":
        w = naive_storkey(z)
    else:
        w = np.linalg.pinv(z.astype(float)) @ z
    np.fill_diagonal(w, 0)
    return w


@pytest.mark.parametrize("rule", MATRIX_RULES)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), size=st.integers(2, 11))
@settings(max_examples=30, deadline=None)
def test_against_a_naive_matrix(rule, seed, count, size):
    z = patterns(seed, count, size)
    memory = CovarianceMemory(size, 0.3) if rule == "covariance" else RULES[rule](size)
    for x in z:
        memory.encode(x)
    expected = naive(rule, z, 0.3 if rule == "covariance" else 0.0)
    np.testing.assert_allclose(memory.matrix, expected, atol=3e-5)
    assert memory.count == count


@pytest.mark.parametrize("rule", RULES)
def test_the_field_is_the_negative_gradient(rule):
    memory = RULES[rule](12)
    for x in patterns(1, 3, 12):
        memory.encode(x)
    z = np.random.default_rng(2).normal(size=12)
    numeric = np.array(
        [(memory.energy(z + e) - memory.energy(z - e)) / 2e-4 for e in 1e-4 * np.eye(12)]
    )
    np.testing.assert_allclose(memory.field(z), -numeric, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_stored_patterns_are_recalled_from_corruption(rule):
    z = patterns(3, 5, 400)
    memory = RULES[rule](400)
    for x in z:
        memory.encode(x)
    for x in z:
        assert is_attractor(memory, x)
        start = x.copy()
        start[:60] *= -1
        found = settle(memory, start)
        assert found.at_rest
        assert np.array_equal(found.pattern, x)
        assert overlap(found.pattern, x) == 1
    assert not is_attractor(memory, patterns(9, 1, 400)[0])


def test_one_unit_at_a_time_never_raises_the_energy():
    z = patterns(4, 6, 60)
    memory = RULES["hebb"](60)
    for x in z:
        memory.encode(x)
    state = patterns(5, 1, 60)[0]
    before = memory.energy(state.astype(float))
    for sweep in range(1, 6):
        after = settle(memory, state, synchronous=False, max_sweeps=sweep)
        energy = memory.energy(after.pattern.astype(float))
        assert energy <= before + 1e-6
        before = energy
    assert settle(memory, state, synchronous=False).at_rest
    with pytest.raises(InvalidInput, match="no matrix"):
        settle(ModernMemory(60), state, synchronous=False)


def test_hebb_crosstalk_is_what_the_others_add():
    z = patterns(6, 4, 50).astype(float)
    memory = RULES["hebb"](50)
    for x in z:
        memory.encode(x.astype(np.int8))
    x = z[0]
    others = sum(y * (y @ x) - x for y in z[1:]) / 50  # without self-coupling: y_i y_i x_i = x_i
    aligned = x * others + 49 / 50
    np.testing.assert_allclose(
        crosstalk(memory, x.astype(np.int8)), 1 - aligned / aligned.mean(), atol=1e-5
    )


def test_projection_holds_far_more_than_hebb():
    size = 100
    z = patterns(7, 60, size)
    held = {}
    for rule in ("hebb", "storkey", "projection"):
        memory = RULES[rule](size)
        for x in z:
            memory.encode(x)
        held[rule] = sum(is_attractor(memory, x) for x in z)
    assert held["projection"] == 60
    assert held["hebb"] < 10
    assert capacity("hebb", size) < capacity("storkey", size) < capacity("projection", size)


def test_a_dependent_pattern_changes_nothing():
    x = patterns(8, 1, 30)[0]
    memory = RULES["projection"](30)
    memory.encode(x)
    before = memory.matrix.copy()
    memory.encode(-x)
    np.testing.assert_array_equal(memory.matrix, before)


def test_bad_input():
    memory = RULES["hebb"](10)
    with pytest.raises(InvalidInput, match="shape"):
        memory.encode(np.ones(11, np.int8))
    with pytest.raises(InvalidInput, match="-1 and 1 only"):
        memory.encode(np.zeros(10, np.int8))
    with pytest.raises(InvalidInput, match="360,"):
        RULES["storkey"](300_000)
    with pytest.raises(InvalidInput, match="at least 2"):
        RULES["modern"](1)
    with pytest.raises(InvalidInput, match="beta"):
        ModernMemory(10, beta=-1)
    with pytest.raises(InvalidInput, match="mean"):
        CovarianceMemory(10, mean=1)
    with pytest.raises(InvalidInput, match="capacity"):
        capacity("modern", 10)
