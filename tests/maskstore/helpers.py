"""Small layouts and masks for the tests of the store."""

import numpy as np

from maskstore import MaskLayout

LAYOUT = MaskLayout({"fc1.weight": (10, 7), "fc2.weight": (5,)})


def random_masks(seed: int, layout: MaskLayout = LAYOUT, density: float = 0.5):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in layout.shapes.items()}


def random_tensors(seed: int):
    """A few tensors, as a task with normalisation layers would have them."""
    rng = np.random.default_rng(seed)
    return {
        "bn.weight": rng.normal(1.0, 0.02, 12).astype(np.float32),
        "bn.running_var": rng.random((2, 3)).astype(np.float16),
        "bn.num_batches_tracked": np.array(seed),
        "head.sign": rng.random(9) < 0.5,
    }


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
