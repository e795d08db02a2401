"""Where masks come from, block by block: memory, or an archive larger than memory."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.packed import PackedMasks

_CPU = torch.device("cpu")

BLOCK_BYTES = 2**25
"""Packed bytes in a block of masks; what it is unpacked to is for its user to bound."""

_LOADED_AT_ONCE = 256
"""Masks that are decoded between two reports; enough for all threads."""

Progress = Callable[[str, int, int], object]
"""What is being done, how much of it is done, and how much there is."""


def nobody_looks(what: str, done: int, total: int) -> None:
    """Progress that is not shown."""


Block = tuple[slice, UInt8[Tensor, "task bytes"]]
"""Which of the wanted masks, and their bits."""


class MaskSource(ABC):
    """K packed masks of one layout, in an order, for a device."""

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
    def to(self, device: torch.device) -> "MaskSource":
        """The same masks for another device; itself where that is its own."""

    @abstractmethod
    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[Tensor, "n bytes"]:
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
    """Masks in a device's memory, one bit a weight, that more can be appended to."""

    def __init__(self, masks: PackedMasks, device: torch.device = _CPU) -> None:
        """Use the masks as they are; on the CPU they are copied when one changes or is added."""
        self._masks = masks
        self._names = list(masks.names)
        self._bits = _as_tensor(masks.bits).to(device)
        self._own = device.type != "cpu"

    @property
    def layout(self) -> MaskLayout:
        return self._masks.layout

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @property
    def in_memory(self) -> bool:
        return True

    def to(self, device: torch.device) -> "Resident":
        if device == self._bits.device:
            return self
        bits = self.read(slice(None)).cpu().numpy()
        masks = PackedMasks(layout=self.layout, names=tuple(self._names), bits=bits)
        return Resident(masks, device)

    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[Tensor, "n bytes"]:
        where = (
            wanted if isinstance(wanted, slice) else torch.from_numpy(wanted).to(self._bits.device)
        )
        return self._bits[: len(self._names)][where]

    def append(self, name: str, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """One more mask at the end."""
        count = len(self._names)
        if count == len(self._bits):
            # A quarter more room at a time: copies stay linear in the number of masks.
            larger = self._bits.new_empty((count + 8 + count // 4, self.layout.packed_bytes))
            larger[:count] = self._bits
            self._bits, self._own = larger, True
        self._bits[count] = torch.from_numpy(bits)
        self._names.append(name)

    def replace(self, index: int, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """Another mask in the place of one."""
        if not self._own:
            self._bits, self._own = self._bits.clone(), True
        self._bits[index] = torch.from_numpy(bits)


class Streamed(MaskSource):
    """Masks of an archive: each block is decoded, used and dropped."""

    def __init__(
        self,
        archive: MaskArchive,
        names: Sequence[str] | None = None,
        device: torch.device = _CPU,
    ) -> None:
        """The masks of ``names``, by default all that are there now."""
        self.archive, self._device = archive, device
        self._names = archive.names() if names is None else list(names)

    @property
    def layout(self) -> MaskLayout:
        return self.archive.layout

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @property
    def in_memory(self) -> bool:
        return False

    def to(self, device: torch.device) -> "Streamed":
        return Streamed(self.archive, self._names, device)

    def read(self, wanted: slice | Int64[np.ndarray, " n"]) -> UInt8[Tensor, "n bytes"]:
        if isinstance(wanted, slice):
            chosen = self._names[wanted]
        else:
            chosen = [self._names[at] for at in wanted]
        return torch.from_numpy(self.archive.packed(chosen).bits).to(self._device)


def load_masks(
    archive: MaskArchive, progress: Progress, names: Sequence[str] | None = None
) -> Resident:
    """Masks of an archive in memory, some at a time, so that progress can be shown; None: all."""
    names, layout = archive.names() if names is None else list(names), archive.layout
    bits = np.empty((len(names), layout.packed_bytes), np.uint8)
    for where, block in Streamed(archive, names).blocks(size=_LOADED_AT_ONCE):
        bits[where] = block.numpy()
        progress("reading", where.stop, len(names))
    return Resident(PackedMasks(layout=layout, names=tuple(names), bits=bits))


def _as_tensor(bits: UInt8[np.ndarray, "task bytes"]) -> UInt8[Tensor, "task bytes"]:
    with warnings.catch_warnings():
        # A file mapped into memory for reading: nothing here writes to what it does not own.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(bits)


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
