"""Exhaustive inference over 2,500 random masks of 1.3% density: the masks' ones, and dense."""

import os
import time
from typing import Any

import numpy as np
import torch

from benchmarks.one_shot import OUTPUTS, best_of, peak_bytes
from benchmarks.results import save_results
from maskstore.packed import PackedMasks
from supsup import Backbone, BackboneRecipe, build
from supsup.inference import Entropy, Exhaustive, MaskBank, infer_in
from supsup.inference.query import Query

COUNT, DENSITY, BATCH = 2_500, 0.013, 128
DENSE = 100
"""Masks that are evaluated densely, too: the results must agree."""


def sparse_masks(backbone: Backbone) -> PackedMasks:
    """Random masks of that density."""
    layout, rng = backbone.layout, np.random.default_rng(0)
    bits = np.empty((COUNT, layout.packed_bytes), np.uint8)
    for row in bits:
        row[:] = layout.pack(
            {
                name: rng.random(shape, dtype=np.float32) < DENSITY
                for name, shape in layout.shapes.items()
            }
        )
    return PackedMasks(layout=layout, names=tuple(map(str, range(COUNT))), bits=bits)


def main() -> None:
    """Seconds for one image and for a batch; largest difference from dense evaluation."""
    torch.manual_seed(0)
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS))
    masks = sparse_masks(backbone)
    x = torch.randn(BATCH, 784)
    bank = MaskBank(backbone, masks, classes=10)
    figures: dict[str, Any] = {"masks": COUNT, "threads": torch.get_num_threads()}
    figures["density"] = bank.density

    def prepare() -> None:
        bank.__dict__.pop("sparse", None)
        assert bank.sparse is not None

    figures["prepare_once_seconds"] = best_of(prepare, seconds=3.0)
    assert bank.sparse is not None
    figures["non_zeros_bytes"] = bank.sparse.bytes
    for objective in ("entropy", "superfluous"):
        for name, images, mode in (
            ("one_image", x[:1], "image"),
            ("batch_each_image", x, "image"),
            ("batch_together", x, "batch"),
        ):

            def call(images: torch.Tensor = images, mode: str = mode, o: str = objective) -> None:
                infer_in(bank, images, method="exhaustive", objective=o, mode=mode)

            figures[f"{name}_{objective}_seconds"] = best_of(call)
            start = time.process_time()
            call()
            figures[f"{name}_{objective}_cpu_seconds"] = time.process_time() - start
    few = masks.select(range(DENSE))
    dense = MaskBank(backbone, few, classes=10)
    dense.__dict__["sparse"] = None
    found = Exhaustive().evidence(Query(bank=bank, x=x, objective=Entropy(), per_image=True))[
        :, :DENSE
    ]
    expected = Exhaustive().evidence(Query(bank=dense, x=x, objective=Entropy(), per_image=True))
    figures["largest_difference_from_dense"] = float(np.abs(found - expected).max())
    seconds = best_of(
        lambda: Exhaustive().evidence(Query(bank=dense, x=x, objective=Entropy(), per_image=True))
    )
    figures["dense_batch_seconds_for_all"] = seconds * COUNT / DENSE
    figures["peak_bytes"] = peak_bytes()
    figures["load_average_at_the_end"] = os.getloadavg()
    save_results("sparse_exhaustive", figures)


if __name__ == "__main__":
    main()
