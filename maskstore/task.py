"""StoredTask: what an archive's index tells of one task."""

from typing import Any, NamedTuple


class StoredTask(NamedTuple):
    """What the index knows of one task.

    Attributes:
        index: position in order of arrival, from 0.
        bits: bits in the mask (the layout's d).
        ones: set bits.
        bytes: stored bytes of the coded mask.
        sha256: hex digest of the packed bits (:func:`maskstore.layout.sha256_of_bits`).
    """

    name: str
    index: int  # type: ignore[assignment]  # a field, not tuple.index
    bits: int
    ones: int
    codec: str
    bytes: int
    sha256: str
    metadata: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry of ``list --json``."""
        return self._asdict()
