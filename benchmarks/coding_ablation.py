"""What each context of the ``seeded`` codec saves, and what earlier tasks could add.

Ideal code lengths (tables and pulls included) of a few masks of each archive that
``benchmarks/mask_coding.py`` trains; ``seeded`` itself is within 3% of its line here.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.mask_coding import FAMILIES, trained_archive
from benchmarks.results import picture, save_results
from maskstore import MaskArchive
from maskstore.codecs.contextual import search as fit
from maskstore.codecs.contextual.mask_coder import layers_of
from maskstore.codecs.contextual.search import Task
from maskstore.seeded.scores import ScoreStart
from supsup.plots import GRID

SIZE_BITS = 4
MASKS = 3


class Masks:
    """The flips of an archive's tasks against their shared start."""

    def __init__(self, archive: MaskArchive) -> None:
        """Decode every mask."""
        self.layers = layers_of(archive.layout)
        self.start = archive.prior.draw(
            ScoreStart.from_json(next(iter(archive)).metadata["scores"])
        )
        packed = archive.packed()
        self.bits = np.array([archive.layout.unpack_flat(row) for row in packed.bits])
        self.flips = self.bits ^ self.start.mask
        self.weights = archive.layout.bits

    def near(self, k: int, *steps: int) -> np.ndarray:
        """For each weight, which of the tasks at ``steps`` from task k flipped it, as a number."""
        code = np.zeros(self.weights, np.int64)
        for step in steps:
            code = 2 * code + self.flips[(k + step) % len(self.flips)]
        return code


def ideal_bits(
    masks: Masks,
    flips: np.ndarray,
    *,
    size_bits: int = SIZE_BITS,
    oriented: bool = False,
    max_rank: int = 0,
    widths: bool = True,
    history: np.ndarray | None = None,
    histories: int = 1,
) -> float:
    """Bits a weight of one mask, given contexts."""
    total = 0.0
    for where, shape in masks.layers:
        size = masks.start.size[where].astype(np.int64) >> (7 - size_bits)
        if oriented:
            size = 2 * size + masks.start.toward[where]
        if history is not None:
            size = size * histories + history[where]
        task = Task(
            flips=flips[where].reshape(shape),
            size=size.astype(np.uint8).reshape(shape),
            toward=masks.start.toward[where].reshape(shape),
            sizes=(1 << size_bits) * (2 if oriented else 1) * histories,
        )
        pull = fit.fit_pull(task, max_rank) if max_rank else None
        bits = fit.code_bits(task, pull)
        if pull is not None and not widths:
            bits += replace(pull, width=0).code_bits() - pull.code_bits()
        total += bits
    return total / masks.weights


def measure(masks: Masks) -> dict[str, float]:
    """Mean over a few masks, by contexts."""
    count = len(masks.flips)
    rows: dict[str, list[float]] = {}
    for k in np.linspace(2, count - 3, MASKS).astype(int).tolist():
        flips = masks.flips[k]
        earlier = masks.flips[:k].mean(axis=0)
        level = np.searchsorted([0.03, 0.1, 0.25, 0.5, 0.8], earlier)
        cases: dict[str, dict[str, Any]] = {
            "flips, by layer": {"size_bits": 0},
            "… and size of the initial score": {},
            "… and sign of the weight": {"oriented": True},
            "… and a pull of rank 1": {"max_rank": 1},
            "… and a pull of any rank, coded plainly": {"max_rank": 31, "widths": False},
            "… coded as images where that is shorter (= seeded)": {"max_rank": 31},
            "seeded without size of the score": {"max_rank": 31, "size_bits": 0},
            "… size, and one neighbouring task": {
                "history": masks.near(k, -1),
                "histories": 2,
            },
            "… size, and how often all earlier tasks flipped": {
                "history": level,
                "histories": 6,
            },
            # With history as many contexts for the pull as without: three bits of size, not four.
            "seeded + one neighbouring task": {
                "history": masks.near(k, -1),
                "histories": 2,
                "max_rank": 31,
                "size_bits": 3,
            },
            "seeded + the task two away": {
                "history": masks.near(k, -2),
                "histories": 2,
                "max_rank": 31,
                "size_bits": 3,
            },
            "seeded + both neighbours": {
                "history": masks.near(k, -1, 1),
                "histories": 4,
                "max_rank": 31,
                "size_bits": 3,
            },
            "seeded + how often all earlier tasks flipped": {
                "history": level,
                "histories": 6,
                "max_rank": 31,
                "size_bits": 3,
            },
        }
        rows.setdefault("the mask, by layer", []).append(
            ideal_bits(masks, masks.bits[k], size_bits=0)
        )
        for name, options in cases.items():
            rows.setdefault(name, []).append(ideal_bits(masks, flips, **options))
    return {name: round(float(np.mean(values)), 4) for name, values in rows.items()}


def plot(results: dict[str, dict[str, float]]) -> None:
    """One group of bars per family."""
    names = list(next(iter(results.values())))
    places = np.arange(len(names))[::-1]
    with picture("coding_ablation", GRID) as figure:
        axes = figure.subplots()
        for at, (family, rows) in enumerate(results.items()):
            axes.barh(places - (at - 1.5) * 0.2, list(rows.values()), 0.2, label=family)
        axes.set_yticks(places, names)
        axes.set_xlabel("bits a weight (ideal code length, tables and pulls included)")
        axes.legend()


def main() -> None:
    """Measure every archive that is there and write docs/results/coding_ablation.{json,svg}."""
    results = {}
    for family in FAMILIES:
        path = trained_archive(family)
        if path is not None:
            with MaskArchive.open(path) as archive:
                results[family] = measure(Masks(archive))
            print(family, results[family], flush=True)
    plot(results)
    save_results("coding_ablation", {"masks_per_archive": MASKS, "bits_per_weight": results})


if __name__ == "__main__":
    main()
