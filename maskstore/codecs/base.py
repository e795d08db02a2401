"""The interface that every mask codec has."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.knowledge import Prior
from maskstore.errors import CorruptArchive

_FREE_BYTES = 1 << 22
"""Far below that of ``zstd``: these codecs hold a byte and more for every bit while they work."""
_MAX_RATIO = 1000


class Codec(ABC):
    """Turns a packed mask into stored bytes and back, without loss."""

    name: ClassVar[str]
    """What the command line and ``list`` call it."""
    id: ClassVar[int]
    """Its number in the file; never reused (docs/format.md)."""

    @abstractmethod
    def encode(self, packed: UInt8[np.ndarray, " bytes"], prior: Prior) -> bytes | None:
        """The stored bytes, or None where this codec can not hold the mask."""

    @abstractmethod
    def decode(self, stored: bytes, prior: Prior) -> UInt8[np.ndarray, " bytes"]:
        """The packed mask.

        Of ``prior`` it uses what belongs to the archive, never the start of one task. Allocates
        nothing before the sizes that ``stored`` declares have been checked.

        Raises:
            CorruptArchive: ``stored`` does not decode to a mask of this layout.
        """

    def layer_bits(self, stored: bytes, prior: Prior) -> list[float] | None:
        """The bits of a sound ``stored`` that each layer takes, in layout order.

        What belongs to no layer is left out. None where all layers are packed as one.
        """
        return None


def expands_too_far(packed_bytes: int, stored_bytes: int) -> bool:
    """Whether a mask is refused as a decompression bomb, by its sizes alone.

    Encoders obey the same rule, so no mask that an archive accepted is ever refused.
    """
    return packed_bytes > _FREE_BYTES + _MAX_RATIO * stored_bytes


def require_sane_size(codec: str, packed_bytes: int, stored_bytes: int) -> None:
    """Raise CorruptArchive where :func:`expands_too_far`."""
    if expands_too_far(packed_bytes, stored_bytes):
        raise CorruptArchive(
            f"{codec} mask: {stored_bytes} stored bytes for a mask of {packed_bytes} bytes; "
            "no encoder writes that"
        )
