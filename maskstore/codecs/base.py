"""The interface that every mask codec has."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from maskstore.layout import MaskLayout


class Codec(ABC):
    """Turns a packed mask into stored bytes and back, without loss."""

    name: ClassVar[str]
    """What the command line and ``list`` call it."""
    id: ClassVar[int]
    """Its number in the file; never reused (docs/format.md)."""

    @abstractmethod
    def encode(self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout) -> bytes | None:
        """The stored bytes, or None where this codec can not hold the mask."""

    @abstractmethod
    def decode(self, stored: bytes, layout: MaskLayout) -> UInt8[np.ndarray, " bytes"]:
        """The packed mask.

        Allocates nothing before the sizes that ``stored`` declares have been checked.

        Raises:
            CorruptArchive: ``stored`` does not decode to a mask of this layout.
        """
