"""Masks as patterns: z = 2m - 1, all layers joined in layout order (lecture notes §6.1)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int8

from maskstore.layout import MaskLayout


def pattern_of(
    masks: Mapping[str, Bool[np.ndarray, "..."]], layout: MaskLayout
) -> Int8[np.ndarray, " unit"]:
    """The pattern of a mask; raises InvalidMask where it does not fit the layout.

    >>> pattern_of({"fc": np.array([True, False, True])}, MaskLayout({"fc": (3,)}))
    array([ 1, -1,  1], dtype=int8)
    """
    layout.pack(masks)
    return np.where(layout.join(masks), 1, -1).astype(np.int8)


def masks_of(
    pattern: Int8[np.ndarray, " unit"], layout: MaskLayout
) -> dict[str, Bool[np.ndarray, "..."]]:
    """The inverse of :func:`pattern_of`.

    >>> masks_of(np.int8([1, -1, 1]), MaskLayout({"fc": (3,)}))
    {'fc': array([ True, False,  True])}
    """
    return layout.split(pattern > 0)
