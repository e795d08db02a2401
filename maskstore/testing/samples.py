"""Small masks and tensors to put into an archive under test."""

from typing import Any

import numpy as np

from maskstore.layout import MaskLayout

LAYOUT = MaskLayout({"fc1.weight": (10, 7), "fc2.weight": (5,)})


def random_masks(
    seed: int, layout: MaskLayout = LAYOUT, density: float = 0.5
) -> dict[str, np.ndarray]:
    """One mask, by layer: boolean arrays of the layout's shapes."""
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in layout.shapes.items()}


def random_tensors(seed: int) -> dict[str, np.ndarray]:
    """A few tensors, as a task with normalisation layers would have them."""
    rng = np.random.default_rng(seed)
    return {
        "bn.weight": rng.normal(1.0, 0.02, 12).astype(np.float32),
        "bn.running_var": rng.random((2, 3)).astype(np.float16),
        "bn.num_batches_tracked": np.array(seed),
        "head.sign": rng.random(9) < 0.5,
    }


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two sets of arrays have the same names and values."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
