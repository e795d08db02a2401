"""The family of kernels."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor


class Kernels(ABC):
    """The three operations on packed masks, for the device that the masks are on.

    Bits stay packed, 1 bit a weight: least significant bit first, as in the archive.
    """

    @abstractmethod
    def multiply(
        self, bits: UInt8[Tensor, "task bytes"], flat: Float32[Tensor, "vector numbers"]
    ) -> Float[Tensor, "vector task"]:
        """For every flat and every row of bits, the sum of the flat's numbers whose bit is set.

        Args:
            flat: ``8 * bytes`` numbers each.

        Sums of float32 numbers within 1e-5 of their largest.
        """

    @abstractmethod
    def count_bits(
        self, bits: UInt8[Tensor, "task bytes"], counts: Int32[Tensor, " numbers"], step: int = 1
    ) -> None:
        """Add ``step`` to the count of every set bit, in place.

        Args:
            counts: ``8 * bytes`` counts; contiguous.
            step: 1 to add masks, -1 to take them away.
        """

    @abstractmethod
    def apply_masks(
        self, bits: UInt8[Tensor, "task bytes"], weights: Float32[Tensor, " numbers"]
    ) -> Float32[Tensor, "task numbers"]:
        """For every row of bits the flat row of weights, 0 where the bit is not set."""
