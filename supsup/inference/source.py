"""Where masks come from, block by block: memory, or an archive larger than memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64, UInt8

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.packed import PackedMasks

BLOCK_BYTES = 2**25
"""Packed bytes in a block of masks; what it is unpacked to is for its user to bound."""

Block = tuple[slice, UInt8[np.ndarray, "task bytes"]]
"""Which of the wanted masks, and their bits."""


class MaskSource(ABC):
    """K packed masks of one layout, in an order."""

    @property
    @abstractmethod
    def layout(self) -> MaskLayout:
        """What a mask covers."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The K task names."""

    @property
    @abstractmethod
    def in_memory(self) -> bool:
        """Whether reading the masks again costs a read of memory only."""

    @abstractmethod
    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n bytes"]:
        """The bits of some masks, in the order wanted."""

    def blocks(
        self, rows: Int64[np.ndarray, " n"] | None = None, *, size: int = 0
    ) -> Iterator[Block]:
        """All masks, or those of ``rows`` in that order, some at a time.

        Args:
            size: masks in a block; 0 for as many as ``BLOCK_BYTES`` hold.
        """
        count = len(self.names) if rows is None else len(rows)
        size = size or max(1, BLOCK_BYTES // self.layout.packed_bytes)
        for start in range(0, count, size):
            where = slice(start, min(start + size, count))
            yield where, self.read(where if rows is None else rows[where])


class Resident(MaskSource):
    """Masks in memory, one bit a weight, that more can be appended to."""

    def __init__(self, masks: PackedMasks) -> None:
        """Use the masks as they are; they are copied when one is appended."""
        self._layout = masks.layout
        self._names = list(masks.names)
        self._bits = masks.bits

    @property
    def layout(self) -> MaskLayout:
        return self._layout

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @property
    def in_memory(self) -> bool:
        return True

    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n bytes"]:
        return self._bits[: len(self._names)][wanted]

    def append(self, name: str, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """One more mask at the end."""
        count = len(self._names)
        if count == len(self._bits):
            # A quarter more room at a time: copies stay linear in the number of masks.
            larger = np.empty((count + 8 + count // 4, self.layout.packed_bytes), np.uint8)
            larger[:count] = self._bits
            self._bits = larger
        self._bits[count] = bits
        self._names.append(name)

    def replace(self, index: int, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """Another mask in the place of one."""
        self._bits[index] = bits


class Streamed(MaskSource):
    """Masks of an archive: each block is decoded, used and dropped."""

    def __init__(self, archive: MaskArchive, names: Sequence[str] | None = None) -> None:
        """The masks of ``names``, by default all that are there now."""
        self._archive = archive
        self._names = archive.names() if names is None else list(names)

    @property
    def layout(self) -> MaskLayout:
        return self._archive.layout

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @property
    def in_memory(self) -> bool:
        return False

    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n bytes"]:
        if isinstance(wanted, slice):
            chosen = self._names[wanted]
        else:
            chosen = [self._names[at] for at in wanted]
        return self._archive.packed(chosen).bits


def parse_source(masks: PackedMasks | MaskArchive | MaskSource) -> MaskSource:
    """Masks in memory as they are; an archive streamed.

    Raises:
        InvalidInput: there is no mask.
    """
    if isinstance(masks, PackedMasks):
        source: MaskSource = Resident(masks)
    elif isinstance(masks, MaskArchive):
        source = Streamed(masks)
    else:
        source = masks
    if not source.names:
        raise InvalidInput(
            "inference: the archive is empty, so no task can be found; "
            "add masks first (`supsup-store train`)"
        )
    return source
