import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfield import capacity, crosstalk, is_attractor, new_memory, overlap, settle
from maskstore import InvalidInput
from tests.hopfield.helpers import EVERY, memory_of, patterns

QUADRATIC = [each for each in EVERY if each[0] != "modern"]


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_stored_patterns_are_recalled_from_corruption(rule, form):
    z = patterns(3, 4, 400, 0.45)
    memory = memory_of(rule, form, z)
    for x in z:
        assert is_attractor(memory, x)
        start = x.copy()
        start[::7] *= -1
        found = settle(memory, start)
        assert found.at_rest
        assert np.array_equal(found.pattern, x)
        assert overlap(found.pattern, x) == 1
    assert not is_attractor(memory, patterns(9, 1, 400)[0])


@pytest.mark.parametrize(("rule", "form"), QUADRATIC)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 8), density=st.sampled_from((0.5, 0.3)))
@settings(max_examples=15, deadline=None)
def test_one_unit_at_a_time_never_raises_the_energy(rule, form, seed, count, density):
    memory = memory_of(rule, form, patterns(seed, count, 30, density))
    z = patterns(seed + 1, 1, 30)[0]
    before = memory.energy(z.astype(float))
    for sweep in range(20):
        found = settle(memory, z, synchronous=False, max_sweeps=1, seed=sweep)
        energy = memory.energy(found.pattern.astype(float))
        assert energy <= before + 1e-5
        if found.at_rest:
            break
        z, before = found.pattern, energy
    assert found.at_rest
    assert (found.pattern * memory.field(found.pattern.astype(float)) > -1e-5).all()


def test_one_unit_at_a_time_follows_the_definition():
    z = patterns(4, 5, 25)
    memory = memory_of("hebb", "dense", z)
    start = patterns(5, 1, 25)[0]
    expected = start.astype(float)
    for unit in np.random.default_rng(7).permutation(25):
        field = memory.matrix[unit].astype(float) @ expected
        if abs(field) > 1e-6:
            expected[unit] = np.sign(field)
    found = settle(memory, start, synchronous=False, max_sweeps=1, seed=7)
    np.testing.assert_array_equal(found.pattern, expected)


def test_modern_updates_all_units_at_once():
    with pytest.raises(InvalidInput, match="no couplings"):
        settle(new_memory("modern", 60), np.ones(60, np.int8), synchronous=False)


def test_a_cycle_of_two_is_not_at_rest():
    memory = memory_of("hebb", "dense", np.array([[1, -1]], np.int8))
    found = settle(memory, np.array([1, 1], np.int8), max_sweeps=9)
    assert not found.at_rest
    assert found.sweeps == 9
    assert settle(memory, np.array([1, 1], np.int8), synchronous=False).at_rest


def test_hebb_crosstalk_is_what_the_others_add():
    z = patterns(6, 4, 50).astype(float)
    memory = memory_of("hebb", "dense", z.astype(np.int8))
    x = z[0]
    others = sum(y * (y @ x) - x for y in z[1:]) / 50  # without self-coupling: y_i y_i x_i = x_i
    aligned = x * others + 49 / 50
    np.testing.assert_allclose(
        crosstalk(memory, x.astype(np.int8)), 1 - aligned / aligned.mean(), atol=1e-5
    )


def test_covariance_holds_what_hebb_confuses():
    """Masks of density 0.3: Hebb's common part swamps them, the centred rule holds them."""
    z = patterns(8, 15, 400, 0.3)
    held = {
        rule: sum(is_attractor(memory_of(rule, "dense", z), x) for x in z)
        for rule in ("hebb", "covariance")
    }
    assert held["covariance"] == 15
    assert held["hebb"] == 0


def test_capacity_is_about_what_is_held():
    """A rule holds half of its capacity but for a few bits, and twice its capacity it does not."""
    size = 100
    for rule in ("hebb", "storkey"):
        for times, held in ((0.5, True), (2, False)):
            count = round(times * capacity(rule, size))
            z = patterns(7, count, size)
            memory = memory_of(rule, "dense", z)
            overlaps = [overlap(settle(memory, x, max_sweeps=5).pattern, x) for x in z]
            assert (np.mean(overlaps) > 0.95) == held, (rule, times)
    z = patterns(7, 75, size)
    assert all(is_attractor(memory_of("projection", "dense", z), x) for x in z)
    assert capacity("hebb", size) < capacity("storkey", size) < capacity("projection", size)
    assert capacity("covariance", size) == capacity("hebb", size) == pytest.approx(13.8)
    with pytest.raises(InvalidInput, match="capacity"):
        capacity("modern", 10)
