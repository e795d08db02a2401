"""Recovery on entropies whose minimum is known."""

import numpy as np
import pytest

from hopfield import RULES, Schedule, recover
from hopfield.descent import Deflated
from hopfield.recovery import Candidate
from maskstore import InvalidInput

SIZE, COUNT = 400, 6


def stored(rule, *, bias=0.0, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.random(SIZE) < bias
    patterns = rng.choice(np.array([-1, 1], np.int8), (COUNT, SIZE))
    patterns[:, shared] = patterns[0, shared]
    memory = RULES[rule](SIZE)
    for pattern in patterns:
        memory.encode(pattern)
    return memory, patterns


class Trap:
    """Low at the target, and lower still along a direction that no stored pattern has."""

    def __init__(self, patterns, target, depth=5.0):
        self.target = patterns[target] / SIZE
        trap = np.random.default_rng(9).choice([-1.0, 1.0], SIZE)
        trap -= patterns.T @ np.linalg.pinv(patterns.T.astype(float)) @ trap
        self.trap = depth * trap / SIZE
        self.calls = []

    def __call__(self, mask, step):
        self.calls.append(step)
        z = 2 * mask - 1
        gap = 1 - self.target @ z
        return gap**2 - self.trap @ z + 5, 2 * (-2 * gap * self.target - self.trap)


@pytest.mark.parametrize("rule", RULES)
def test_every_pattern_is_recovered_under_every_rule(rule):
    memory, patterns = stored(rule)
    for target in range(COUNT):
        found = recover(memory, Trap(patterns, target), start=patterns.mean(0))
        assert np.array_equal(found.pattern, patterns[target])
        assert found.known is None
        assert found.margin > 0.5


def test_patterns_with_much_in_common():
    memory, patterns = stored("projection", bias=0.4, seed=3)
    assert (patterns.astype(float) @ patterns.T)[0, 1] > 0.3 * SIZE
    for target in range(COUNT):
        entropy = Trap(patterns, target)
        found = recover(memory, entropy, start=patterns.mean(0), schedule=Schedule(restarts=0))
        assert np.array_equal(found.pattern, patterns[target])


def test_descent_without_the_memory_falls_into_the_trap():
    """That the task is not trivial: the raw slope leads to a mask that nobody stored."""
    _, patterns = stored("projection")
    entropy = Trap(patterns, 2)
    z = patterns.mean(0)
    for step in range(30):
        slope = entropy((z + 1) / 2, step)[1]
        z = np.clip(z - 0.1 * slope / np.sqrt(np.mean(slope**2)), -1, 1)
    assert np.mean(np.sign(z) == patterns[2]) < 0.8


class Misleading:
    """The slope leads to one pattern, then to another; only the value says which is right."""

    def __init__(self, patterns, order, right):
        self.patterns, self.order, self.right = patterns.astype(float), order, right

    def __call__(self, mask, step):
        z = 2 * mask - 1
        value = 0.1 if np.array_equal(z, self.patterns[self.right]) else 2.0
        return value, -sum(self.patterns[at] * 10.0**-rank for rank, at in enumerate(self.order))


@pytest.mark.parametrize("rule", ["projection", "storkey", "modern"])
def test_deflated_restarts_find_what_the_first_descent_misses(rule):
    memory, patterns = stored(rule)
    entropy = Misleading(patterns, [4, 1, 5], right=1)
    found = recover(memory, entropy, start=patterns.mean(0), accept=lambda pattern: 0.5)
    assert np.array_equal(found.pattern, patterns[1])
    assert np.array_equal(found.candidates[1].pattern, patterns[4])
    assert (found.restarts, found.known, found.margin) == (1, True, pytest.approx(0.4))
    once = recover(
        memory,
        entropy,
        start=patterns.mean(0),
        accept=lambda pattern: 0.5,
        schedule=Schedule(restarts=0),
    )
    assert np.array_equal(once.pattern, patterns[4])
    assert once.known is False


def test_all_patterns_are_tried_before_data_are_called_unknown():
    memory, patterns = stored("projection")
    entropy = Misleading(patterns, range(COUNT), right=0)
    found = recover(memory, entropy, start=patterns.mean(0), accept=lambda pattern: 0.01)
    assert (found.known, found.restarts) == (False, COUNT - 1)
    assert {tuple(each.pattern) for each in found.candidates} == set(map(tuple, patterns))
    assert found.entropy == pytest.approx(0.1)


def test_what_was_never_stored_is_not_accepted_however_certain():
    memory, patterns = stored("projection")
    entropy = Misleading(patterns, [4, 1, 5], right=4)

    def accept(pattern):
        return 3.0 if np.array_equal(pattern, patterns[1]) else -np.inf

    found = recover(memory, entropy, start=patterns.mean(0), accept=accept)
    assert np.array_equal(found.pattern, patterns[1])
    assert found.candidates[1].entropy < found.entropy
    assert found.known


class Ambiguous:
    """At first the slope leads to three patterns alike, then to one of them."""

    def __init__(self, patterns, right):
        self.patterns, self.right = patterns.astype(float), right

    def __call__(self, mask, step):
        z = 2 * mask - 1
        value = 0.1 if np.array_equal(z, self.patterns[self.right]) else 2.0
        wanted = self.patterns[:3].sum(0) if step < 10 else self.patterns[self.right] - z / 2
        return value, -wanted


def test_a_mixture_is_gone_on_from_not_removed():
    memory, patterns = stored("projection")
    stored_ones = {tuple(pattern) for pattern in patterns}

    def accept(pattern):
        return 0.5 if tuple(pattern) in stored_ones else -np.inf

    found = recover(memory, Ambiguous(patterns, 1), start=patterns.mean(0), accept=accept)
    mixture = found.trajectory[10].pattern
    assert tuple(mixture) not in stored_ones
    assert np.array_equal(found.trajectory[11].pattern, mixture)
    assert np.array_equal(found.pattern, patterns[1])
    assert (found.restarts, found.known) == (1, True)
    assert found.candidates[1].accept == -np.inf


def test_the_trajectory_is_whole():
    memory, patterns = stored("projection")
    schedule = Schedule(steps=7, judging=2, restarts=1)
    entropy = Trap(patterns, 3)
    found = recover(memory, entropy, start=patterns.mean(0), schedule=schedule)
    assert found.steps == 14
    assert len(found.trajectory) == 16
    assert found.batches == len(entropy.calls) == 18
    assert [step.restart for step in found.trajectory] == [0] * 8 + [1] * 8
    bits = found.hamming(patterns[3])
    assert bits[7] == 0
    assert bits[0] == np.count_nonzero(np.where(patterns.mean(0) >= 0, 1, -1) != patterns[3])
    assert found.trajectory[7].energy == memory.energy(patterns[3].astype(float))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_entropy_does_not_matter(scale):
    memory, patterns = stored("storkey")
    entropy = Trap(patterns, 1)

    def scaled(mask, step):
        value, slope = entropy(mask, step)
        return scale * value, scale * slope

    found = recover(memory, scaled, start=patterns.mean(0), schedule=Schedule(restarts=0))
    assert np.array_equal(found.pattern, patterns[1])


def test_a_deflated_memory_against_its_matrix():
    memory, patterns = stored("storkey")
    columns = patterns[:2].T.astype(float)
    q = np.eye(SIZE) - columns @ np.linalg.pinv(columns)
    expected = q @ memory.matrix.astype(float) @ q
    z = np.random.default_rng(1).normal(size=SIZE)
    view = Deflated(memory, list(patterns[:2]))
    np.testing.assert_allclose(view.pull(z), expected @ z, atol=1e-5)
    np.testing.assert_allclose(view.response(z), expected @ z, atol=1e-5)
    np.testing.assert_allclose(view.pull(patterns[0].astype(float)), 0, atol=1e-5)
    np.testing.assert_allclose(Deflated(memory).pull(z), memory.matrix @ z, atol=1e-5)


def test_the_modern_response_is_the_covariance_of_the_patterns():
    memory, patterns = stored("modern")
    z = np.random.default_rng(1).normal(size=SIZE)
    centred = patterns - patterns.mean(0)
    expected = centred.T @ (centred @ z)
    response = Deflated(memory).response(z)
    cosine = expected @ response / np.linalg.norm(expected) / np.linalg.norm(response)
    assert cosine > 0.9999
    assert not Deflated(memory).response(np.zeros(SIZE)).any()


def test_bad_input():
    memory, patterns = stored("projection")
    start = patterns.mean(0)

    def broken(mask, step):
        return float("nan"), np.zeros(SIZE)

    with pytest.raises(InvalidInput, match="not finite"):
        recover(memory, broken, start=start)
    with pytest.raises(InvalidInput, match="empty"):
        recover(RULES["projection"](SIZE), broken, start=start)
    for wrong in (start[:-1], 3 * start + 2):
        with pytest.raises(InvalidInput, match="expected a start"):
            recover(memory, broken, start=wrong)
    for bad in ({"steps": 0}, {"judging": 0}, {"restarts": -1}, {"path": 0.0}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            Schedule(**bad)


@pytest.mark.parametrize(
    ("entropy", "accept", "said"), [(0.5, 0.5, True), (0.5, 0.4, False), (0.0, None, False)]
)
def test_a_candidate_is_accepted_up_to_its_limit(entropy, accept, said):
    candidate = Candidate(pattern=np.int8([1]), entropy=entropy, energy=0.0, accept=accept)
    assert candidate.accepted is said
