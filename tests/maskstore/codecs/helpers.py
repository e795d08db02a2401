"""Layouts and masks as training makes them, without training."""

import math
from dataclasses import replace

import numpy as np

from maskstore import CorruptArchive, MaskLayout
from maskstore.codecs import Prior
from maskstore.layout import sha256_of_bits
from maskstore.seeded.scores import ScoreStart

RECIPE = {"net": "x", "outputs": 10, "seed": 3, "init": "signed-constant"}
START = ScoreStart(seed=5)
LAYOUT = MaskLayout({"fc1.weight": (60, 144), "fc2.weight": (37, 60), "bn.weight": (21,)})
LAYOUTS = {
    "lenet": LAYOUT,
    "one bit": MaskLayout({"w": (1,)}),
    "tiny": MaskLayout({"a": (3,), "b": (2, 3), "c": (1, 1, 1, 1)}),
    "convolution": MaskLayout({"conv.weight": (16, 8, 3, 3), "bn.weight": (16,)}),
}


def prior_of(
    layout: MaskLayout, start: ScoreStart | None = START, reference: np.ndarray | None = None
) -> Prior:
    """What an encoder is given, or, with no start, a decoder; noise is there to refer to."""

    def find(digest: bytes) -> np.ndarray:
        known = _noise(layout) if reference is None else reference
        if digest != sha256_of_bits(known)[:8]:
            raise CorruptArchive("no such reference")
        return known

    prior = replace(Prior.of_archive(layout, RECIPE), find=find)
    if start is None:
        return prior
    known = _noise(layout) if reference is None else reference
    return replace(prior.of_task({"scores": start.to_json()}), reference=known)


def _noise(layout: MaskLayout) -> np.ndarray:
    return packed_mask(layout, 0.5, seed=99)


def almost(packed: np.ndarray, layout: MaskLayout, share: float, seed: int = 0) -> np.ndarray:
    """A mask that differs from another in that share of its bits."""
    return packed ^ packed_mask(layout, share, seed)


def packed_mask(layout: MaskLayout, density: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return layout.pack({n: rng.random(s) < density for n, s in layout.shapes.items()})


def trained_masks(
    layout: MaskLayout,
    seed: int = 0,
    start: ScoreStart = START,
    rank: int = 2,
    smooth: bool = False,
) -> dict[str, np.ndarray]:
    """A threshold mask after scores moved along a low-rank gradient times the weights' signs."""
    prior = prior_of(layout)
    rng = np.random.default_rng(seed)
    masks = {}
    for name, scores in start.draw(layout).items():
        shape = scores.shape
        rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0])
        patterns = rng.standard_normal((rank, columns))
        width = math.isqrt(columns)
        if smooth and width**2 == columns:
            y, x = np.mgrid[:width, :width] / width * 4
            patterns = 2 * np.sin([(y * k + 2 * x + k).reshape(-1) for k in range(1, rank + 1)])
        pull = rng.standard_normal((rows, rank)) @ patterns
        signs = prior.weights.draw(name, shape).reshape(rows, columns) * 2.0 - 1
        bound = np.abs(scores).max()
        moved = scores.reshape(rows, columns) + 0.3 * bound * np.tanh(pull) * signs
        moved += 0.1 * bound * rng.standard_normal((rows, columns))
        masks[name] = (moved >= 0).reshape(shape)
    return masks
