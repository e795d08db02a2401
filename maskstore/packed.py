"""PackedMasks: many masks in memory at one bit a weight, for superposition inference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedMasks:
    """K packed masks of one layout.

    Attributes:
        names: the K task names.
        bits: uint8 matrix, K × ``layout.packed_bytes``; little-endian bits, each layer padded to a
            byte (:meth:`MaskLayout.pack`).
    """

    layout: MaskLayout
    names: tuple[str, ...]
    bits: UInt8[np.ndarray, "task bytes"]

    def __post_init__(self) -> None:
        expected = (len(self.names), self.layout.packed_bytes)
        if self.bits.shape != expected or self.bits.dtype != np.uint8:
            raise InvalidInput(
                f"packed masks: expected uint8 of shape {expected}, "
                f"got {self.bits.dtype} of shape {self.bits.shape}"
            )

    def __len__(self) -> int:
        return len(self.names)

    def unpack(self, index: int) -> dict[str, Bool[np.ndarray, "..."]]:
        """The boolean layers of one mask."""
        return self.layout.unpack(self.bits[index])

    def select(self, rows: Sequence[int]) -> "PackedMasks":
        """Some of the masks: copies of those rows, in their order."""
        return PackedMasks(
            layout=self.layout,
            names=tuple(self.names[row] for row in rows),
            bits=self.bits[list(rows)],
        )
