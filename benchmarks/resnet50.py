"""The paper's SplitImageNet sizes against ours, for masks of ResNet-50's layout.

Source: Wortsman et al., 2020, table 1: a ResNet-50 shared by 100 tasks of ten classes; each layer
keeps min(0.5, s * (in + out) / n) of its n weights.
"""

from typing import Any

import numpy as np

from maskstore import MaskLayout
from maskstore.codecs import PRESETS, Prior, encode
from maskstore.stats import binary_entropy

TASKS = 100
PAPER_MB = {4: 65.50, 8: 100.98, 16: 195.18}
PAPER_ACCURACY = {4: 86.37, 8: 88.68, 16: 89.58}
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
CLASSES = 10


def layout() -> tuple[MaskLayout, int]:
    """The weights of every convolution and of the head; and the channels of all batch norms."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    channels, inputs = 64, 64
    for stage, (blocks, width) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            channels += 6 * width
            if block == 0:
                shapes[f"{name}.downsample.weight"] = (4 * width, inputs, 1, 1)
                channels += 4 * width
            inputs = 4 * width
    shapes["fc.weight"] = (CLASSES, inputs)
    return MaskLayout(shapes), channels


def compare_with_the_paper() -> dict[str, Any]:
    """Entropy by calculation, and bytes of one random mask as ``auto`` stores it, times 100."""
    shapes, channels = layout()
    rows = []
    for s, paper in PAPER_MB.items():
        rng = np.random.default_rng(s)
        masks, entropy = {}, 0.0
        for name, shape in shapes.shapes.items():
            n = int(np.prod(shape))
            density = min(0.5, s * (shape[0] + shape[1]) / n)
            masks[name] = rng.random(shape) < density
            entropy += n * binary_entropy(density) / 8
        codec, stored = encode(shapes.pack(masks), Prior(layout=shapes), PRESETS["auto"])
        ours = TASKS * len(stored) / 1e6
        rows.append(
            {
                "s": s,
                "paper_mb": paper,
                "paper_accuracy": PAPER_ACCURACY[s],
                "entropy_mb": round(TASKS * entropy / 1e6, 2),
                "ours_mb": round(ours, 2),
                "codec": codec.name,
                "ours_over_paper": round(ours / paper, 3),
            }
        )
    return {
        "tasks": TASKS,
        "weights": shapes.bits,
        "masks": rows,
        "batch_norm_mb_if_kept": {
            "what": "running mean and variance of every channel, float32, 100 tasks; "
            "networks here use the statistics of the batch and keep none",
            "mb": round(TASKS * channels * 2 * 4 / 1e6, 2),
        },
        "head_mb": {"what": "the mask of the head is among the masks above", "mb": 0.0},
        "dense_models_mb": 10_222.81,
        "batch_ensemble_mb": 124.99,
    }
