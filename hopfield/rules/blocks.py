"""One matrix for each block of units, where one for all would be too large.

The energy is the sum of the blocks' energies. Blocks do not see each other: each settles by itself,
so from a poor start they may end in different patterns.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float64, Int8

from hopfield.rules.base import QuadraticMemory, take
from hopfield.rules.covariance import CovarianceMemory
from hopfield.rules.dense import MatrixMemory, check_matrix_bytes
from hopfield.rules.hebb import HebbMemory
from hopfield.rules.projection import ProjectionMemory
from hopfield.rules.quantisation import QuantisedMemory, quantised
from hopfield.rules.storkey import StorkeyMemory
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout

MATRICES: dict[str, type[MatrixMemory]] = {
    memory.rule: memory
    for memory in (HebbMemory, CovarianceMemory, StorkeyMemory, ProjectionMemory)
}


class BlockMemory(QuadraticMemory):
    """Matrix memories side by side, all of one rule and form.

    Attributes:
        blocks: the memories, in the order of their units.
    """

    form = "blocks"

    def __init__(self, blocks: Sequence[MatrixMemory]) -> None:
        if not blocks:
            raise InvalidInput("block memory: expected at least one block, got none")
        super().__init__(sum(block.size for block in blocks))
        self.rule = blocks[0].rule
        self.blocks = tuple(blocks)
        self.count = blocks[0].count

    @classmethod
    def of_sizes(cls, sizes: Sequence[int], make: Callable[[int], MatrixMemory]) -> "BlockMemory":
        """Empty blocks of those numbers of units; ``make`` is a rule's class, or makes one."""
        check_matrix_bytes("blocks", sum(sizes), sum(4 * size * size for size in sizes))
        return cls([make(size) for size in sizes])

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        self.parse(pattern)
        for block, units in self._places():
            block.encode(pattern[units])
        self.count += 1

    @property
    def centre(self) -> Float64[np.ndarray, " unit"]:
        return np.concatenate([np.full(block.size, block.centre) for block in self.blocks])

    @property
    def bias(self) -> Float64[np.ndarray, " unit"]:
        return np.concatenate([np.full(block.size, block.bias) for block in self.blocks])

    def product(self, x: Float[np.ndarray, " unit"]) -> Float64[np.ndarray, " unit"]:
        return np.concatenate([block.product(x[units]) for block, units in self._places()])

    def coupling(self, unit: int) -> Float64[np.ndarray, " unit"]:
        column = np.zeros(self.size)
        for block, units in self._places():
            if units.start <= unit < units.stop:
                column[units] = block.coupling(unit - units.start)
        return column

    def quantised(self, bits: int) -> "BlockMemory":
        """Every block quantised; raises InvalidInput as :func:`quantised`."""
        return BlockMemory([quantised(block, bits) for block in self.blocks])

    def state(self) -> dict[str, np.ndarray]:
        state: dict[str, np.ndarray] = {
            "sizes": np.array([block.size for block in self.blocks], np.uint32),
            "of": np.frombuffer(f"{self.blocks[0].form} {self.rule}".encode(), np.uint8),
        }
        for index, block in enumerate(self.blocks):
            state |= {f"{index}/{name}": array for name, array in block.state().items()}
        return state

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "BlockMemory":
        sizes = take(state, "sizes", np.uint32, (_length(state, "sizes"),)).tolist()
        of = take(state, "of", np.uint8, (_length(state, "of"),)).tobytes().decode()
        form, _, rule = of.partition(" ")
        if sum(sizes) != size or rule not in MATRICES:
            raise InvalidInput(f"block memory: {len(sizes)} blocks do not make {size} units")
        kind = QuantisedMemory if form == QuantisedMemory.form else MATRICES[rule]
        check_matrix_bytes("blocks", size, sum(4 * units * units for units in sizes))
        own: dict[str, dict[str, np.ndarray]] = {}
        for name, array in state.items():
            index, _, rest = name.partition("/")
            own.setdefault(index, {})[rest] = array
        blocks = [
            kind.from_state(units, count, own.get(str(i), {})) for i, units in enumerate(sizes)
        ]
        return cls(blocks)

    def _places(self) -> Iterator[tuple[MatrixMemory, slice]]:
        start = 0
        for block in self.blocks:
            yield block, slice(start, start + block.size)
            start += block.size


def _length(state: dict[str, np.ndarray], name: str) -> int:
    return state[name].size if name in state else 1


def layer_blocks(layout: MaskLayout, most: int = 4096) -> list[int]:
    """Units of the blocks of a layout: one for each layer, cut evenly where it has over ``most``.

    Raises:
        InvalidInput: a layer of one bit, or ``most`` below 2.
    """
    if most < 2:
        raise InvalidInput(f"blocks: expected at least 2 units in a block, got {most}")
    sizes: list[int] = []
    for name, _, _, bits in layout.layers():
        if bits < 2:
            raise InvalidInput(f"blocks: layer {name!r} has {bits} bit, a block at least 2")
        parts = -(-bits // most)
        sizes += [bits // parts + (part < bits % parts) for part in range(parts)]
    return sizes
