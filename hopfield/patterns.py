"""Masks as patterns: z = 2m - 1, all layers joined in layout order (lecture notes §6.1)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int8

from maskstore.layout import MaskLayout


def pattern_of(
    masks: Mapping[str, Bool[np.ndarray, "..."]], layout: MaskLayout
) -> Int8[np.ndarray, " unit"]:
    """The pattern of a mask; raises InvalidMask where it does not fit the layout."""
    layout.pack(masks)
    bits = np.concatenate([masks[name].ravel() for name in layout.shapes])
    return np.where(bits, 1, -1).astype(np.int8)


def masks_of(
    pattern: Int8[np.ndarray, " unit"], layout: MaskLayout
) -> dict[str, Bool[np.ndarray, "..."]]:
    """The inverse of :func:`pattern_of`."""
    masks, start = {}, 0
    for name, shape, _, bits in layout.layers():
        masks[name] = (pattern[start : start + bits] > 0).reshape(shape)
        start += bits
    return masks
