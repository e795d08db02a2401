"""Cases of one: a single block, one bit, no pattern, the first step, the least that is allowed."""

import numpy as np
import pytest

from hopfield import BlockMemory, Schedule, layer_blocks, new_memory, quantised, recover
from hopfield.literal import DECAY, GAMMA, MOMENTUM, RATE, recover_literally
from hopfield.recovery import Candidate, Recovery
from hopfield.rules.quantisation import QuantisedMemory
from maskstore import InvalidInput, MaskLayout
from tests.hopfield.helpers import patterns


def flat(mask, step):
    """An entropy without a slope."""
    return 1.0, np.zeros_like(mask)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_codes_of_every_number_of_bits_are_read_back(bits):
    memory = new_memory("hebb", 7)
    for pattern in patterns(0, 3, 7):
        memory.encode(pattern)
    rounded = quantised(memory, bits)
    again = QuantisedMemory.from_state(
        7, rounded.count, {name: np.array(values) for name, values in rounded.state().items()}
    )
    assert np.isfinite(again.matrix).all()
    assert np.array_equal(again.matrix, rounded.matrix)


def test_one_block_is_a_memory():
    blocks = layer_blocks(MaskLayout({"w": (3, 4)}))
    assert blocks == [12]
    memory = new_memory("hebb", 12, form="blocks", blocks=blocks)
    assert (memory.rule, len(memory.blocks)) == ("hebb", 1)


def test_blocks_are_of_two_units_at_least():
    layout = MaskLayout({"w": (2, 3)})
    assert layer_blocks(layout, 2) == [2, 2, 2]
    with pytest.raises(InvalidInput, match="at least 2"):
        layer_blocks(layout, 1)


@pytest.mark.parametrize("bad", [np.array([1, -1, 1, 1, -1, 0], np.int8), np.ones(7, np.int8)])
def test_a_wrong_pattern_changes_no_block(bad):
    memory = new_memory("hebb", 6, form="blocks", blocks=(3, 3))
    assert isinstance(memory, BlockMemory)
    memory.encode(np.ones(6, np.int8))
    before = [block.matrix.copy() for block in memory.blocks]
    with pytest.raises(InvalidInput):
        memory.encode(bad)
    assert memory.count == 1
    assert [block.count for block in memory.blocks] == [1, 1]
    assert all(map(np.array_equal, (block.matrix for block in memory.blocks), before))


def test_the_energy_of_an_empty_modern_memory():
    assert new_memory("modern", 4).energy(np.array([1.0, 2.0, 0.0, -2.0])) == 4.5


def test_what_the_paper_code_and_the_descent_are_set_to():
    assert (RATE, MOMENTUM, DECAY, GAMMA) == (500.0, 0.9, 1e-4, 1.5e-3)
    assert Schedule().restarts == 7
    assert Schedule(path=0.5).path == 0.5
    with pytest.raises(InvalidInput, match="path"):
        Schedule(path=0)


def test_literal_recovery_is_one_descent():
    memory = new_memory("hebb", 6)
    memory.encode(np.ones(6, np.int8))
    found = recover_literally(memory, flat, start=np.full(6, 0.1), steps=2)
    assert [step.restart for step in found.trajectory] == [0] * len(found.trajectory)


def test_an_entropy_is_asked_of_masks_between_0_and_1():
    asked = []

    def watched(mask, step):
        asked.append((mask.min(), mask.max()))
        return flat(mask, step)

    memory = new_memory("hebb", 8)
    memory.encode(patterns(1, 1, 8)[0])
    recover(memory, watched, start=np.full(8, 0.1), schedule=Schedule(steps=5, restarts=0))
    assert len(asked) >= 5
    assert min(low for low, _ in asked) >= 0
    assert max(high for _, high in asked) <= 1


def test_the_margin_without_a_limit_is_to_the_second_best():
    first, second = (
        Candidate(pattern=np.ones(2, np.int8), entropy=entropy, energy=0.0, accept=None)
        for entropy in (0.25, 0.75)
    )
    found = Recovery(candidates=(first, second), restarts=0, batches=2, trajectory=())
    assert found.margin == 0.5
