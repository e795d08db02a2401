"""What an archive holds in memory: what its index tells of a task, and masks at a bit a weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from bitarray import bitarray
from jaxtyping import Bool, UInt8

from maskstore import bits
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.notebook import Shown, counted, first_names, html_line
from maskstore.tensors import TensorInfo


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PackedMasks(Shown):
    """K packed masks of one layout.

    >>> layout = MaskLayout({"fc": (3,)})
    >>> rows = np.array([[0b011], [0b110], [0b011]], np.uint8)
    >>> masks = PackedMasks(layout=layout, names=("a", "b", "c"), bits=rows)
    >>> masks.bitarrays(0)
    {'fc': bitarray('11000000')}
    >>> masks.overlap(0, 1), masks.difference(0, 1), masks.hamming(0, 1)
    (1, 1, 2)
    >>> masks.duplicates()
    [('a', 'c')]

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

    def _shown(self) -> str:
        masks = f"{counted(len(self), 'mask')} of {counted(self.layout.bits, 'bit')}"
        return f"{masks} in {counted(self.bits.nbytes, 'byte')}: {first_names(self.names)}"

    def unpack(self, index: int) -> dict[str, Bool[np.ndarray, "..."]]:
        """The boolean layers of one mask."""
        return self.layout.unpack(self.bits[index])

    def bitarrays(self, index: int, *, exact: bool = False) -> dict[str, bitarray]:
        """The bits of every layer of one mask: read-only views with the padding's zeros.

        Args:
            exact: copies without the padding.
        """
        return self.layout.bitarrays(self.bits[index], exact=exact)

    def overlap(self, first: int, second: int) -> int:
        """Weights that both masks keep."""
        return bits.overlap(self._row(first), self._row(second))

    def difference(self, first: int, second: int) -> int:
        """Weights that the first mask keeps and the second does not."""
        return bits.difference(self._row(first), self._row(second))

    def hamming(self, first: int, second: int) -> int:
        """Weights that one of the two masks keeps and the other does not."""
        return bits.hamming(self._row(first), self._row(second))

    def duplicates(self) -> list[tuple[str, ...]]:
        """The names of masks that are equal, in groups of two and more."""
        found = bits.duplicates(map(self._row, range(len(self))))
        return [tuple(self.names[at] for at in group) for group in found]

    def _row(self, index: int) -> bitarray:
        """A whole mask; the padding's zeros change no count."""
        return bits.bits_over(self.bits[index])

    def select(self, rows: Sequence[int]) -> "PackedMasks":
        """Some of the masks: copies of those rows, in their order."""
        return PackedMasks(
            layout=self.layout,
            names=tuple(self.names[row] for row in rows),
            bits=self.bits[list(rows)],
        )


class StoredTask(NamedTuple):
    """What the index knows of one task.

    Attributes:
        index: position in order of arrival, from 0.
        bits: bits in the mask (the layout's d).
        ones: set bits.
        bytes: stored bytes of the coded mask.
        sha256: hex digest of the packed bits (:func:`maskstore.layout.sha256_of_bits`).
        tensors: what is kept beside the mask: name, shape, type and stored bytes of each.
    """

    name: str
    index: int  # type: ignore[assignment]  # a field, not tuple.index
    bits: int
    ones: int
    codec: str
    bytes: int
    sha256: str
    metadata: dict[str, Any]
    tensors: tuple[TensorInfo, ...] = ()

    def __repr__(self) -> str:
        """A line: what is kept with a task may be pages."""
        parts = [f"{self.ones:,} of {counted(self.bits, 'bit')}", f"{self.codec} {self.bytes:,} B"]
        if self.tensors:
            parts.append(counted(len(self.tensors), "tensor"))
        if self.metadata:
            parts.append(f"metadata {', '.join(map(str, list(self.metadata)[:6]))}")
        return f"<StoredTask {self.name!r}: {'; '.join(parts)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_line(repr(self))

    @property
    def classes(self) -> tuple[str, ...] | int | None:
        """The names of the task's classes in the order of its labels, or only their number.

        They are kept in ``metadata["classes"]``; None where the metadata does not tell.
        """
        match self.metadata.get("classes"):
            case bool():
                return None
            case int(count):
                return count
            case [*names] if names and all(isinstance(name, str) for name in names):
                return tuple(names)
        return None

    def to_json(self) -> dict[str, Any]:
        """The entry of ``list --json``."""
        return self._asdict() | {"tensors": [each.to_json() for each in self.tensors]}
