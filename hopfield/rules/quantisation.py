"""A matrix memory with few bits a synapse: smaller, and for recall only.

W is rounded to evenly spaced levels, symmetric about 0; one bit keeps its sign alone (clipped
synapses, Sompolinsky, 1986: Hebb's capacity falls from 0.138 d to about 0.10 d).
"""

import numpy as np
from jaxtyping import Float32, Int8, UInt8

from hopfield.rules.base import take
from hopfield.rules.dense import MatrixMemory, fill_from_upper, upper_of
from maskstore.errors import InvalidInput

BITS = (1, 2, 4, 8)
_STEPS = 64
_SAMPLE = 1 << 16


class QuantisedMemory(MatrixMemory):
    """Made by :func:`quantised`.

    Attributes:
        bits: bits a synapse, 1, 2, 4 or 8.
        step: W of the lowest level above 0; ``weights`` are whole multiples of it.
    """

    form = "quantised"

    def __init__(
        self, size: int, *, rule: str, bits: int, step: float, centre: float, bias: float
    ) -> None:
        if bits not in BITS:
            raise InvalidInput(f"quantised memory: expected 1, 2, 4 or 8 bits, got {bits}")
        self.rule = rule
        super().__init__(size)
        self.bits = bits
        # As the file has them.
        self.step = float(np.float32(step))
        self._centre = float(np.float32(centre))
        self._bias = float(np.float32(bias))

    def encode(self, pattern: Int8[np.ndarray, " unit"]) -> None:
        raise InvalidInput(
            f"quantised memory: rounded to {self.bits} bits, it takes no more patterns; add to the "
            "full memory, then quantise that again"
        )

    @property
    def scale(self) -> float:
        return self.step

    @property
    def centre(self) -> float:
        return self._centre

    @property
    def bias(self) -> float:
        return self._bias

    def state(self) -> dict[str, np.ndarray]:
        levels = upper_of(self.weights)
        codes = levels > 0 if self.bits == 1 else levels + _highest(self.bits)
        return {
            "rule": np.frombuffer(self.rule.encode(), np.uint8),
            "bits": np.array([self.bits], np.uint8),
            "scale": np.array([self.step, self._centre, self._bias], np.float32),
            "codes": _join(codes.astype(np.uint8), self.bits),
        }

    @classmethod
    def from_state(cls, size: int, count: int, state: dict[str, np.ndarray]) -> "QuantisedMemory":
        name = state.get("rule", np.zeros(0, np.uint8))
        rule = take(state, "rule", np.uint8, (name.size,)).tobytes().decode()
        bits = int(take(state, "bits", np.uint8, (1,))[0])
        step, centre, bias = map(float, take(state, "scale", np.float32, (3,)))
        if bits not in BITS:
            raise InvalidInput(f"quantised memory: expected 1, 2, 4 or 8 bits, got {bits}")
        pairs = size * (size - 1) // 2
        stored = take(state, "codes", np.uint8, ((pairs * bits + 7) // 8,))
        memory = cls(size, rule=rule, bits=bits, step=step, centre=centre, bias=bias)
        codes = _split(stored, bits)[:pairs].astype(np.float32)
        fill_from_upper(memory.weights, 2 * codes - 1 if bits == 1 else codes - _highest(bits))
        memory.count = count
        return memory


def quantised(memory: MatrixMemory, bits: int) -> QuantisedMemory:
    """The memory with its weights rounded to ``bits`` bits: the step with the least squared error.

    Raises:
        InvalidInput: not 1, 2, 4 or 8 bits, or quantised already.
    """
    if isinstance(memory, QuantisedMemory):
        raise InvalidInput(
            f"quantised memory: rounded to {memory.bits} bits already; quantise the full memory"
        )
    matrix = memory.matrix
    upper = upper_of(matrix)
    sample = upper[:: max(1, len(upper) // _SAMPLE)]
    step = _best_step(sample, bits, memory.scale) if bits in BITS else 0.0
    result = QuantisedMemory(
        memory.size, rule=memory.rule, bits=bits, step=step, centre=memory.centre, bias=memory.bias
    )
    if bits == 1:
        # A weight of 0 has no sign: half of them go up, by chance, so that they add no pattern.
        zeros = upper == 0
        upper[zeros] = np.random.default_rng(0).choice(np.array([-1, 1]), int(zeros.sum()))
    fill_from_upper(result.weights, _levels(upper, bits, step))
    result.count = memory.count
    return result


def _highest(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def _levels(
    weights: Float32[np.ndarray, " pair"], bits: int, step: float
) -> Float32[np.ndarray, " pair"]:
    if bits == 1:
        return np.where(weights > 0, np.float32(1), np.float32(-1))
    highest = _highest(bits)
    return np.clip(np.rint(weights / np.float32(step)), -highest, highest)


def _best_step(sample: Float32[np.ndarray, " pair"], bits: int, unit: float) -> float:
    largest = float(np.abs(sample).max())
    if largest == 0:
        return 1.0
    if bits == 1:
        return float(np.float32(np.abs(sample).mean()))
    # From all of the range down to a twentieth of it; and the rule's own unit, as small counts are
    # exact in that.
    ranges = np.geomspace(largest, largest / 20, _STEPS) / _highest(bits)
    steps = np.append(ranges, unit).astype(np.float32)
    errors = [float(((s * _levels(sample, bits, s) - sample) ** 2).sum()) for s in steps.tolist()]
    return float(steps[int(np.argmin(errors))])


def _join(codes: UInt8[np.ndarray, " pair"], bits: int) -> UInt8[np.ndarray, " byte"]:
    """Codes of ``bits`` bits into bytes, the first lowest."""
    if bits == 1:
        return np.packbits(codes, bitorder="little")
    per_byte = 8 // bits
    padded = np.zeros(-(-len(codes) // per_byte) * per_byte, np.uint8)
    padded[: len(codes)] = codes
    joined = np.zeros(len(padded) // per_byte, np.uint8)
    for place in range(per_byte):
        joined |= padded[place::per_byte] << (bits * place)
    return joined


def _split(joined: UInt8[np.ndarray, " byte"], bits: int) -> UInt8[np.ndarray, " pair"]:
    """The inverse of :func:`_join`, with what fills the last byte."""
    per_byte = 8 // bits
    codes = np.empty(len(joined) * per_byte, np.uint8)
    for place in range(per_byte):
        codes[place::per_byte] = joined >> (bits * place) & (2**bits - 1)
    return codes
