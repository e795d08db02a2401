"""Every rule in every form against a naive d × d implementation on small random patterns."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopfield import FORMS, RULES, BlockMemory, HopfieldMemory, layer_blocks, new_memory, quantised
from hopfield.rules.covariance import CovarianceMemory, PackedCovarianceMemory
from hopfield.rules.modern import ModernMemory
from hopfield.rules.packed_patterns import PackedPatterns
from maskstore import InvalidInput, MaskLayout
from tests.hopfield.helpers import EVERY, MATRIX_RULES, matrix_of, memory_of, naive, patterns

SMALL = {
    "seed": st.integers(0, 10_000),
    "count": st.integers(0, 5),
    "size": st.integers(2, 13),
    "density": st.sampled_from((0.5, 0.2, 0.9, 1.0)),
}


def expected_field(rule, form, z, x):
    if not len(z):
        return np.zeros(len(x))
    parts = (
        (slice(None),) if form != "blocks" else (slice(0, len(x) // 3), slice(len(x) // 3, None))
    )
    field = np.empty(len(x))
    for part in parts:
        w, a, b = naive(rule, z[:, part])
        field[part] = w @ (x[part] - a) + b
    return field


@pytest.mark.parametrize(
    ("rule", "form"), [e for e in EVERY if e[0] != "modern" and e[1] != "quantised"]
)
@given(**SMALL)
@settings(max_examples=15, deadline=None)
def test_every_form_is_the_naive_matrix(rule, form, seed, count, size, density):
    size += 4 * (form == "blocks")
    z = patterns(seed, count, size, density)
    memory = memory_of(rule, form, z)
    assert (memory.rule, memory.form, memory.size, memory.count) == (rule, form, size, count)
    x = np.random.default_rng(seed).normal(size=size)
    for start in (x, patterns(seed + 1, 1, size)[0].astype(float)):
        field = expected_field(rule, form, z, start)
        np.testing.assert_allclose(memory.field(start), field, atol=3e-5)
        np.testing.assert_allclose(memory.drive(start), field, atol=3e-5)
        shifted = start - memory.centre
        energy = -0.5 * shifted @ (field + memory.bias)
        np.testing.assert_allclose(memory.energy(start), energy, atol=1e-4)
    w = matrix_of(memory)
    np.testing.assert_allclose(w, w.T, atol=1e-6)
    for unit in range(size):
        np.testing.assert_allclose(memory.coupling(unit), w[unit], atol=1e-5)


@pytest.mark.parametrize("rule", MATRIX_RULES)
def test_the_matrix_is_symmetric_to_the_bit(rule):
    memory = memory_of(rule, "dense", patterns(1, 9, 701, 0.4))  # more rows than are made at once
    np.testing.assert_array_equal(memory.matrix, memory.matrix.T)
    np.testing.assert_array_equal(np.diag(memory.matrix), 0)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), size=st.integers(2, 30))
@settings(max_examples=30, deadline=None)
def test_modern_is_softmax_recall(seed, count, size):
    z = patterns(seed, count, size)
    memory = memory_of("modern", "packed", z)
    x = np.random.default_rng(seed).normal(size=size)
    weights = np.exp(memory.beta * (z @ x))
    recalled = weights @ z / weights.sum()
    np.testing.assert_allclose(memory.drive(x), recalled, atol=1e-12)
    np.testing.assert_allclose(memory.field(x), recalled - x, atol=1e-12)
    energy = 0.5 * x @ x - np.log(weights.sum()) / memory.beta
    np.testing.assert_allclose(memory.energy(x), energy, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_the_field_is_the_negative_gradient(rule, form):
    memory = memory_of(rule, form, patterns(1, 3, 12))
    z = np.random.default_rng(2).normal(size=12)
    numeric = np.array(
        [(memory.energy(z + e) - memory.energy(z - e)) / 2e-2 for e in 1e-2 * np.eye(12)]
    )
    np.testing.assert_allclose(memory.field(z), -numeric, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", ["dense", "packed"])
@pytest.mark.parametrize("rule", ["hebb", "covariance"])
def test_counts_are_exact_in_any_order(rule, form):
    z = patterns(3, 300, 33, 0.4)
    one, other = memory_of(rule, form, z), memory_of(rule, form, z[::-1])
    x = np.random.default_rng(0).normal(size=33)
    np.testing.assert_allclose(one.field(x), other.field(x), atol=1e-12)
    if form == "dense":
        np.testing.assert_array_equal(one.weights, np.rint(one.weights))
        assert one.state()["agreements"].dtype == np.uint16


@pytest.mark.parametrize("kind", [CovarianceMemory, PackedCovarianceMemory])
def test_a_fixed_mean_holds(kind):
    z = patterns(4, 3, 40, 0.3)
    memory = kind(40, mean=-0.4)
    for x in z:
        memory.encode(x)
    assert memory.centre == pytest.approx(-0.4)
    w = sum(np.outer(x + 0.4, x + 0.4) for x in z.astype(float)) / 40
    np.fill_diagonal(w, 0)
    expected = w @ np.full(40, 1.4) - 0.4 * (1 - 0.16)
    np.testing.assert_allclose(memory.field(np.ones(40)), expected, atol=1e-5)
    again = kind.from_state(40, 3, memory.state())
    np.testing.assert_array_equal(again.field(np.ones(40)), memory.field(np.ones(40)))


@pytest.mark.parametrize("form", ["dense", "packed"])
def test_a_dependent_pattern_changes_nothing(form):
    z = patterns(8, 3, 30)
    memory = memory_of("projection", form, z)
    x = np.random.default_rng(0).normal(size=30)
    before = memory.field(x)
    memory.encode(-z[1])
    assert memory.count == 4
    np.testing.assert_allclose(memory.field(x), before, atol=1e-12)


def test_projection_stays_a_projector_up_to_capacity():
    z = patterns(9, 180, 200)
    dense, packed = (memory_of("projection", form, z) for form in ("dense", "packed"))
    np.testing.assert_allclose(dense.matrix, naive("projection", z)[0], atol=1e-4)
    x = np.random.default_rng(0).normal(size=200)
    np.testing.assert_allclose(packed.field(x), dense.field(x), atol=1e-3)


def test_blocks_hold_layers_where_one_matrix_cannot():
    layout = MaskLayout({"fc1.weight": (300, 784), "fc2.weight": (648, 100)})
    sizes = layer_blocks(layout, 3000)
    assert sum(sizes) == layout.bits
    assert max(sizes) - min(sizes[:79]) <= 1
    assert max(sizes) <= 3000
    with pytest.raises(InvalidInput, match="at least 2"):
        layer_blocks(MaskLayout({"w": (1,)}))
    with pytest.raises(InvalidInput, match="at least 2"):
        layer_blocks(layout, 1)
    z = patterns(2, 3, 50)
    memory = memory_of("storkey", "blocks", z)
    alone = memory_of("storkey", "dense", z[:, :16])
    np.testing.assert_array_equal(memory.field(np.ones(50))[:16], alone.field(np.ones(16)))


@pytest.mark.parametrize("rule", MATRIX_RULES)
def test_quantised_weights(rule):
    memory = memory_of(rule, "dense", patterns(5, 7, 90, 0.4))
    matrix, spread = memory.matrix, memory.matrix[~np.eye(90, dtype=bool)].std()
    last = 0.0
    for bits, most in ((8, 0.02), (4, 0.25), (2, 0.7), (1, 0.9)):
        coarse = quantised(memory, bits)
        error = (coarse.matrix - matrix)[~np.eye(90, dtype=bool)].std() / spread
        assert last - 1e-9 <= error < most
        last = error
        assert len(np.unique(coarse.weights)) <= 2**bits + (bits == 1)
        assert coarse.nbytes == pytest.approx(bits * 90 * 89 / 16, abs=30)
        assert coarse.centre == pytest.approx(memory.centre)
        with pytest.raises(InvalidInput, match="no more patterns"):
            coarse.encode(patterns(0, 1, 90)[0])
        with pytest.raises(InvalidInput, match="already"):
            quantised(coarse, bits)
    with pytest.raises(InvalidInput, match="1, 2, 4 or 8"):
        quantised(memory, 3)


def test_eight_bits_keep_counts_exactly():
    memory = memory_of("hebb", "dense", patterns(5, 20, 64))
    np.testing.assert_allclose(quantised(memory, 8).matrix, memory.matrix, atol=1e-7)
    empty = quantised(new_memory("hebb", 10), 2)
    np.testing.assert_array_equal(empty.matrix, 0)


def test_masks_of_300000_bits():
    """What no matrix could hold: any form without one."""
    z = patterns(6, 6, 300_000, 0.4)
    for rule in FORMS["packed"]:
        memory = memory_of(rule, "packed", z)
        assert 6 * 37_500 <= memory.nbytes <= 6 * 37_500 + 4
        start = z[2].copy()
        start[:50_000] *= -1
        assert np.array_equal(np.sign(memory.drive(start.astype(float))), z[2])
        assert memory.energy(z[2].astype(float)) < memory.energy(start.astype(float))


def test_bad_input():
    memory = new_memory("hebb", 10)
    with pytest.raises(InvalidInput, match="shape"):
        memory.encode(np.ones(11, np.int8))
    with pytest.raises(InvalidInput, match="-1 and 1 only"):
        memory.encode(np.zeros(10, np.int8))
    with pytest.raises(InvalidInput, match="360,000,000,000 bytes.*packed.*modern.*blocks"):
        RULES["storkey"](300_000)
    with pytest.raises(InvalidInput, match="blocks: 300,000 units"):
        new_memory("hebb", 300_000, form="blocks", blocks=(150_000, 150_000))
    with pytest.raises(InvalidInput, match="at least 2"):
        RULES["modern"](1)
    with pytest.raises(InvalidInput, match="beta"):
        ModernMemory(10, beta=-1)
    for kind in (CovarianceMemory, PackedCovarianceMemory):
        with pytest.raises(InvalidInput, match="mean"):
            kind(10, mean=1)
    with pytest.raises(InvalidInput, match="at least one"):
        BlockMemory([])
    with pytest.raises(InvalidInput, match="expected one of hebb"):
        new_memory("none", 10)
    with pytest.raises(InvalidInput, match="dense, blocks, got 'packed'"):
        new_memory("storkey", 10, form="packed")
    with pytest.raises(InvalidInput, match="once its patterns are in it"):
        new_memory("hebb", 10, form="quantised")
    with pytest.raises(InvalidInput, match="expected 10 units in all, got 9"):
        new_memory("hebb", 10, form="blocks", blocks=(4, 5))
    with pytest.raises(InvalidInput, match="only form 'blocks'"):
        new_memory("hebb", 10, blocks=(5, 5))


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_no_rule_inherits_from_another(rule, form):
    """A memory is a kind of what its bases say, and those are not memories by themselves."""
    kind = FORMS[form][rule]
    assert not inspect.isabstract(kind)
    bases = [each for each in kind.__mro__[1:] if issubclass(each, HopfieldMemory)]
    assert all(inspect.isabstract(base) for base in bases)


@pytest.mark.parametrize("size", [7, 8, 9, 16])
def test_packed_patterns_of_any_length_come_back(size):
    memory = memory_of("modern", "packed", patterns(0, 3, size))
    again = ModernMemory.from_state(size, 3, memory.state())
    x = np.random.default_rng(0).normal(size=size)
    assert np.array_equal(again.drive(x), memory.drive(x))
    full = np.full((1, (size + 7) // 8), 255, np.uint8)
    if size % 8:
        with pytest.raises(InvalidInput, match="bits beyond the last unit"):
            PackedPatterns(size).extend(full)
        full[:, -1] = 2 ** (size % 8) - 1
    packed = PackedPatterns(size)
    packed.extend(full)
    assert np.array_equal(packed.rows, full)
