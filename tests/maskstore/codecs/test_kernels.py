"""Compiled loops against plain numpy, and what they must not do to an import."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore.codecs import kernels, references
from maskstore.codecs.contextual import search
from maskstore.codecs.contextual.counts import Counts, bits_of, by_place
from maskstore.codecs.contextual.low_rank import PULLS, Pull
from maskstore.codecs.contextual.search import Search, Task, code_bits, fit_pull
from maskstore.codecs.contextual.vectors import _later_passes as later_passes
from maskstore.codecs.contextual.vectors import costs_of_moves, ideal_bits, put_vectors
from maskstore.codecs.entropy.coder import Decoder, Encoder
from maskstore.codecs.entropy.levels import put_bits, take_bits
from maskstore.codecs.kernels.search import MIDDLE
from maskstore.parallel import product_here

SEEDS = st.integers(0, 2**32)
SHIFT = 3


@given(levels=st.lists(st.integers(0, 127), max_size=300), seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_bits_are_sorted_by_level(levels, seed):
    levels = np.array(levels, np.uint8)
    bits = np.random.default_rng(seed).integers(0, 2, len(levels)).astype(np.uint8)
    in_order = kernels.sort_bits(levels, bits)
    assert np.array_equal(in_order, bits[np.argsort(levels, kind="stable")])
    assert np.array_equal(kernels.unsort_bits(levels, in_order), bits)
    assert np.array_equal(kernels.count_levels(levels), np.bincount(levels, minlength=128))


@given(
    runs=st.lists(st.tuples(st.integers(1, 127), st.integers(0, 60)), max_size=12),
    density=st.floats(0, 1),
    seed=SEEDS,
)
@settings(max_examples=50, deadline=None)
def test_the_library_codes_what_the_kernel_decodes(runs, density, seed):
    rng = np.random.default_rng(seed)
    bits = (rng.random(sum(count for _, count in runs)) < density).astype(np.uint8)
    encoder = Encoder()
    put_bits(encoder, runs, bits)
    decoder = Decoder(encoder.finish())
    # In two calls: the state must go back and forth between the kernel and the library.
    half = len(runs) // 2
    found = [take_bits(decoder, runs[:half]), take_bits(decoder, runs[half:])]
    decoder.finish()
    assert np.array_equal(np.concatenate(found), bits)


@given(rows=st.integers(1, 5), columns=st.integers(1, 9), seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_table_comes_back_from_its_distances(rows, columns, seed):
    table = np.random.default_rng(seed).integers(1, 128, (rows, columns)).astype(np.uint8)
    away = kernels.distances(table, 64).reshape(rows, columns)
    assert away[0, 0] == int(table[0, 0]) - 64
    assert np.array_equal(kernels.undo_distances(away, 64, 127), table)
    beyond = kernels.undo_distances(np.full((rows, columns), 99, np.int32), 64, 127)
    assert beyond.max() == 127


@pytest.mark.parametrize("rank", [1, 3, 31])
def test_rows_and_levels_of_contexts(rank):
    rng = np.random.default_rng(rank)
    rows, columns = (rng.integers(-7, 8, s).astype(np.int16) for s in ((20, rank), (rank, 30)))
    steps = rng.integers(0, 16, 256).astype(np.uint8)
    toward, flips = rng.integers(0, 2, (2, 600)).astype(np.uint8)
    sizes = rng.integers(0, 200, 600).astype(np.uint8)
    pull = np.clip(rows.astype(int) @ columns, -128, 127).reshape(-1)
    expected = np.where(toward, steps[pull + 128], 15 - steps[pull + 128])
    found = kernels.pull_rows(rows, columns, steps, np.uint8(15), toward)
    assert np.array_equal(found, expected)
    table = rng.integers(1, 128, (16, 13)).astype(np.uint8)
    levels = kernels.look_up_levels(found, sizes, np.uint8(4), table)
    assert np.array_equal(levels, table[expected, sizes >> 4])
    counts = kernels.count_contexts(found, sizes, flips, 16, 200)
    assert counts.shape == (2, 16, 200)
    assert counts.sum() == 600
    row, size = int(expected[7]), int(sizes[7])
    here = (expected == row) & (sizes == size)
    assert counts[1, row, size] == flips[here].sum()
    assert counts[0, row, size] == (1 - flips[here]).sum()


def search_case(seed: int, m: int = 9, n: int = 14, rank: int = 3):
    rng = np.random.default_rng(seed)
    numbers, others = (rng.integers(-3, 4, s).astype(np.int16) for s in ((rank, m), (rank, n)))
    kinds = rng.integers(0, 1 << SHIFT, (m, n)).astype(np.int32)
    places = np.full((m, n), MIDDLE << SHIFT, np.int32) + kinds
    for left, right in zip(numbers, others, strict=True):
        kernels.add_product(places, left, right, SHIFT)
    cost = rng.integers(0, 5000, (21, 1 << SHIFT)).astype(np.int32)
    own = rng.integers(-3000, 3000, (2, rank, m))
    return numbers, others, kinds, places, cost, own


@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_moves_what_shortens_the_code(seed):
    numbers, others, kinds, places, cost, (up, down) = search_case(seed)
    expected = numbers.copy()

    def code(row: int) -> int:
        entries = np.clip(expected[:, row].astype(int) @ others, -10, 10) + 10
        return int(cost[entries, kinds[row]].sum())

    for row in range(numbers.shape[1]):
        for k in range(len(numbers)):
            before = code(row)
            growth = {}
            for step, its_own in ((1, up), (-1, down)):
                expected[k, row] += step
                growth[step] = code(row) - before + its_own[k, row]
                expected[k, row] -= step
            step = 1 if growth[1] <= growth[-1] else -1
            if growth[step] < 0:
                expected[k, row] += step
    assert not np.array_equal(expected, numbers)
    steps = kernels.cost_of_steps(cost, SHIFT, 60, 3)
    margins = np.zeros(numbers.shape, np.int64)
    margins[0, 0] = 10  # hopeless: it stays where it is
    kept = numbers[0, 0]
    kernels.sweep_rows(places, numbers, others, up, down, margins, SHIFT, steps, 9)
    assert numbers[0, 0] == kept
    assert margins[0, 0] == 5
    assert np.array_equal(numbers[:, 1:], expected[:, 1:])
    entries = numbers.T.astype(int) @ others
    assert np.array_equal(places, ((entries + MIDDLE) << SHIFT) + kinds)


def test_a_sweep_of_columns_is_one_of_rows_of_what_is_turned():
    numbers, others, _, places, cost, (up, down) = search_case(0, m=40, n=33)
    steps = kernels.cost_of_steps(cost, SHIFT, 60, 3)
    turned = np.ascontiguousarray(places.T)
    found, expected = numbers.copy(), numbers.copy()
    margins = np.zeros((2, *numbers.shape), np.int64)
    kernels.sweep_rows(places, expected, others, up, down, margins[0], SHIFT, steps, 9)
    kernels.sweep_columns(turned, found, others, up, down, margins[1], SHIFT, steps, 9)
    assert not np.array_equal(found, numbers)
    assert np.array_equal(found, expected)
    assert np.array_equal(turned.T, places)
    assert np.array_equal(*margins)


def test_places_are_counted_and_looked_up():
    numbers, others, kinds, places, _, _ = search_case(0)
    counts = np.zeros((5, 1 << SHIFT), np.int64)
    kernels.count_places(places, counts, SHIFT)
    entries = np.clip(numbers.T.astype(int) @ others, -2, 2) + 2
    expected = np.zeros_like(counts)
    np.add.at(expected, (entries, kinds), 1)
    assert np.array_equal(counts, expected)
    values = np.random.default_rng(1).random((5, 1 << SHIFT)).astype(np.float32)
    found = np.empty(places.shape, np.float32)
    kernels.look_up(places, values, found, SHIFT)
    assert np.array_equal(found, values[entries, kinds])


def test_counts_fold_as_the_decoder_finds_rows():
    rng = np.random.default_rng(3)
    cuts, reach, sizes = (1, 1, 2, 4, 7, 20, 60), 127, 3
    counts = rng.integers(0, 9, (2 * reach + 1, 4 * sizes))
    pull = Pull(
        rows=np.ones((1, 1), np.int16),
        columns=np.arange(-reach, reach + 1, dtype=np.int16)[None],
        cuts=cuts,
    )
    folded = np.zeros((2, PULLS, sizes), np.int64)
    values = rng.random((2, PULLS, sizes))
    by_toward = []
    for toward in (0, 1):
        rows = pull.rows_of_table(np.full(2 * reach + 1, toward, np.uint8))
        for flip in (0, 1):
            at = (2 * flip + toward) * sizes
            np.add.at(folded[flip], rows, counts[:, at : at + sizes])
        by_toward.append(values[:, rows])
    assert np.array_equal(Counts(counts).by_row(cuts), folded)
    expected = [by_toward[toward][flip] for flip in (0, 1) for toward in (0, 1)]
    assert np.array_equal(by_place(*values, cuts), np.concatenate(expected, axis=1))
    clear, ones = folded[:, folded.all(axis=0)].astype(float)
    seen = int(folded.any(axis=0).sum())
    assert seen < folded[0].size  # two cuts are the same
    p = ones / (clear + ones)
    ideal = -(ones * np.log2(p) + clear * np.log2(1 - p)).sum()
    assert bits_of(folded) == pytest.approx(ideal + 3.0 * seen, rel=1e-6)


def test_cuts_are_the_cheapest_of_those_tried():
    rng = np.random.default_rng(4)
    weights = rng.poisson(3, (255, 4 * 3)).astype(np.int64)
    tried = np.sort(rng.integers(1, 129, (9, 7)), axis=1)
    bits = [bits_of(Counts(weights).by_row(tuple(each))) for each in tried.tolist()]
    assert kernels.cheapest_cuts(weights, tried, 3.0) == int(np.argmin(bits))


@pytest.mark.parametrize(("length", "width"), [(360, 6), (49, 7), (31, 5), (5, 7)])
def test_passes_of_an_image_are_those_that_are_coded(length, width):
    rng = np.random.default_rng(length)
    limit = 5
    vectors = rng.integers(-limit, limit + 1, (3, length)).astype(np.int16)
    missed, counts = kernels.image_passes(vectors, width, limit)
    units, (up, down) = np.array([0.5, 2.0]), np.full((2, 3, length), np.nan)
    kernels.image_moves(vectors, width, units, up, down)
    left = np.ones(length, bool)
    for later, (where, sums) in enumerate(later_passes(vectors, width)):
        numbers = vectors[:, where].astype(np.int64).reshape(-1)
        assert missed[later] == np.abs(4 * numbers - sums).sum()
        assert np.array_equal(counts[later], np.bincount(sums + 4 * limit, minlength=41))
        for moved, by in ((up, 4), (down, -4)):
            more = np.abs(4 * numbers + by - sums) - np.abs(4 * numbers - sums)
            assert np.array_equal(moved[:, where].reshape(-1), units[later] * more)
        left &= ~where
    assert np.isnan(up[:, left]).all()
    assert np.isnan(down[:, left]).all()


@pytest.mark.parametrize("width", [0, 6])
def test_bits_of_numbers_are_those_of_their_code(width):
    rng = np.random.default_rng(0)
    vectors = np.clip(np.rint(1.6 * rng.standard_normal((4, 360))), -7, 7).astype(np.int16)
    encoder = Encoder()
    put_vectors(encoder, vectors, width)
    assert ideal_bits(vectors, width) == pytest.approx(8 * len(encoder.finish()), rel=0.03)
    up, down = costs_of_moves(vectors, width)
    if width:
        return
    counts = np.array([np.bincount(each + 7, minlength=15) for each in vectors]) + 0.3
    own = -np.log2(counts / counts.sum(axis=1, keepdims=True))
    for k, at in ((0, 0), (2, 17), (3, 359)):
        here = int(vectors[k, at]) + 7
        assert up[k, at] == pytest.approx(own[k, here + 1] - own[k, here])
        assert down[k, at] == pytest.approx(own[k, here - 1] - own[k, here])
    vectors[0, :2] = 7, -7
    up, down = costs_of_moves(vectors, width)
    assert (up[0, 0], down[0, 1]) == (2.0**20, 2.0**20)


def test_products_are_added_while_they_stand_out_of_noise():
    rng = np.random.default_rng(4)
    m, n, none = 80, 90, np.zeros((80, 90), np.uint8)
    factors = np.where(rng.random((2, 2, m + n)) < 0.5, -1.0, 1.0)[:, 0]
    toward = rng.integers(0, 2, (m, n)).astype(np.uint8)
    for number in (0, 1, 2):
        pull = factors[:number, :m].T @ factors[:number, m:]
        chance = 1 / (1 + np.exp(1 - 1.5 * pull * (2.0 * toward - 1)))
        flips = (rng.random((m, n)) < chance).astype(np.uint8)
        search = Search(Task(flips=flips, size=none, toward=toward, sizes=1))
        search.grow(0.0, 9)
        assert len(search.rows) == max(number, 1)


def test_the_search_finds_the_same_each_time_and_counts_as_the_decoder_does():
    rng = np.random.default_rng(0)
    m, n = 60, 80
    pull = rng.standard_normal((m, 2)) @ rng.standard_normal((2, n))
    toward, size = rng.integers(0, 2, (m, n)), rng.integers(0, 4, (m, n))
    flips = rng.random((m, n)) < 1 / (1 + np.exp(2 + 0.3 * size - 3 * pull * (2 * toward - 1)))
    arrays = (each.astype(np.uint8) for each in (flips, size, toward))
    task = Task(**dict(zip(("flips", "size", "toward"), arrays, strict=True)), sizes=4)
    found = fit_pull(task, 8)
    again = fit_pull(task, 8)
    assert found is not None
    assert np.array_equal(found.rows, again.rows)
    assert np.array_equal(found.columns, again.columns)
    contexts = found.rows_of_table(task.toward.reshape(-1)) * 4 + task.size.reshape(-1)
    bits = np.bincount(contexts, minlength=64)
    p = np.bincount(contexts, weights=task.flips.reshape(-1), minlength=64) / np.maximum(bits, 1)
    p, bits = p[(p > 0) & (p < 1)], bits[(p > 0) & (p < 1)]
    ideal = -(bits * (p * np.log2(p) + (1 - p) * np.log2(1 - p))).sum()
    tables = code_bits(task, found) - found.code_bits() - ideal
    assert 0 <= tables <= 3.0 * 64 + 1
    assert code_bits(task, found) < 0.9 * code_bits(task, None)


def test_importing_maskstore_does_not_load_the_compiler():
    script = "import sys, maskstore._verify, maskstore.maintenance; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Multiplications of each product that NumPy is asked for."""
    found, multiply = [], np.matmul
    monkeypatch.setattr(
        np,
        "matmul",
        lambda a, b, **to: (found.append(a.size * b.shape[1]), multiply(a, b, **to))[1],
    )
    return found


def test_no_product_of_the_references_is_large_enough_for_several_threads(sizes):
    make = np.random.default_rng(0)
    size = make.integers(0, 128, 20_000).astype(np.uint8)
    flips = (make.random((64, 20_000)) < 0.1).astype(np.uint8)
    flips[1] = flips[0]
    told = references._mutual_information(flips, size)
    assert sum(sizes) == 64 * 64 * 20_000
    assert max(sizes) <= 2**18
    share = np.array([flips[0][size // 8 == each].mean() for each in range(16)])
    weight = np.bincount(size // 8, minlength=16) / len(size)
    own = -(weight * (share * np.log2(share) + (1 - share) * np.log2(1 - share))).sum()
    assert told[0, 1] == pytest.approx(own)
    assert told[0, 2] < 0.01 * own


def test_no_product_of_the_search_is_large_enough_for_several_threads(sizes):
    """OpenBLAS would put all cores on each, while each core codes a mask of its own."""
    matrix = np.random.default_rng(0).standard_normal((300, 784), np.float32)
    *_, strength = search._strongest(matrix, 4, seed=0)
    assert sum(sizes) > 10 * matrix.size
    assert max(sizes) <= 2**18
    expected = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[:4]
    assert np.all(strength <= expected * 1.0001)
    assert np.all(strength > 0.8 * expected)
    thin = np.random.default_rng(1).standard_normal((784, 7), np.float32)
    exact = matrix.astype(np.float64) @ thin
    assert np.allclose(product_here(matrix, thin), exact, rtol=1e-4, atol=1e-3)
