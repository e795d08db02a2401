"""What is known of a mask before its bytes are read: layout, weights, where its scores started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.cache import LruCache
from maskstore.errors import CorruptArchive, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded.scores import ScoreStart
from maskstore.seeded.weights import WeightSigns

_KEPT_BYTES = 1 << 26
"""What the contexts kept of several starts may take together."""


class Start(NamedTuple):
    """The initial scores of every weight, layer after layer, as far as codecs use them.

    Attributes:
        mask: 1 where the initial score is not negative: the mask of the untrained scores.
        size: the 7 highest bits of the size of the score, 0 (near 0) to 127 (near the bound).
        toward: 1 where a growing effective weight drives the score towards the other sign, that is
            where weight and score differ in sign.
    """

    mask: UInt8[np.ndarray, " d"]
    size: UInt8[np.ndarray, " d"]
    toward: UInt8[np.ndarray, " d"]


def _find_nothing(digest: bytes) -> UInt8[np.ndarray, " bytes"]:
    raise CorruptArchive(f"no mask whose sha256 begins with {digest.hex()} is at hand")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """What coder and decoder share.

    Attributes:
        layout: of the mask.
        weights: signs of the frozen weights; None where the archive has no recipe for them.
        seeded: whether all weights under the mask are drawn from a seed. Over trained ones scores
            start from those, which codecs do not know, so that no start is known then.
        start: where the scores of the task at hand started, if known. Only encoders look at it:
            a stored mask names its start itself, as metadata may be changed later.
        reference: the packed mask of an earlier task that the one at hand may be coded against.
            Only encoders look at it: a stored mask names its reference itself.
        find: gives the packed mask of the archive whose sha256 begins with some bytes; raises
            CorruptArchive where there is none, or none that stands for itself.
    """

    layout: MaskLayout
    weights: WeightSigns | None = None
    seeded: bool = True
    start: ScoreStart | None = None
    reference: UInt8[np.ndarray, " bytes"] | None = None
    find: Callable[[bytes], UInt8[np.ndarray, " bytes"]] = field(default=_find_nothing, repr=False)
    _starts: LruCache[ScoreStart, Start] = field(
        default_factory=lambda: LruCache(_KEPT_BYTES, lambda start: 3 * len(start.mask)), repr=False
    )

    @classmethod
    def of_archive(cls, layout: MaskLayout, backbone: Mapping[str, Any] | None) -> "Prior":
        """The prior of all masks of an archive, from its header."""
        if covers_trained(layout, backbone):
            return cls(layout=layout, seeded=False)
        return cls(layout=layout, weights=WeightSigns.from_recipe(backbone))

    def of_task(self, metadata: Mapping[str, Any]) -> "Prior":
        """The prior of one task, from the ``scores`` that training left in its metadata."""
        if not self.seeded:
            return self
        try:
            start = ScoreStart.from_json(metadata.get("scores"))
        except InvalidInput:
            return self
        return replace(self, start=start)

    def draw(self, start: ScoreStart) -> Start:
        """The initial scores from ``start``, as contexts."""
        return self._starts.get(start, lambda: _draw(start, self.layout, self.weights))


def covers_trained(layout: MaskLayout, backbone: Mapping[str, Any] | None) -> bool:
    """Whether a recipe's weights file gives one of the parameters under the mask.

    A recipe that cannot be understood is taken to.
    """
    weights = backbone.get("weights") if isinstance(backbone, Mapping) else None
    if weights is None:
        return False
    patterns = weights.get("parameters") if isinstance(weights, Mapping) else None
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        return True
    return any(fnmatchcase(name, pattern) for name in layout.shapes for pattern in patterns)


def _draw(start: ScoreStart, layout: MaskLayout, weights: WeightSigns | None) -> Start:
    masks, sizes, toward = (np.empty(layout.bits, np.uint8) for _ in range(3))
    for name, shape, _, bits in layout.layers():
        where = layout.offsets[name]
        top = start.top_bytes(name, bits)
        mask = masks[where] = top >> 7
        # The 7 bits under the sign grow away from 0 for a positive score, towards it else.
        sizes[where] = (top & 0x7F) ^ np.where(mask, 0, 0x7F).astype(np.uint8)
        positive = np.ones(bits, np.uint8) if weights is None else weights.draw(name, shape)
        toward[where] = mask ^ positive
    return Start(masks, sizes, toward)
