"""Small layouts and masks for the tests of the store."""

import numpy as np

from maskstore import MaskLayout

LAYOUT = MaskLayout({"fc1.weight": (10, 7), "fc2.weight": (5,)})


def random_masks(seed: int, layout: MaskLayout = LAYOUT, density: float = 0.5):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in layout.shapes.items()}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
