"""How much a Hopfield memory holds and corrects, by rule and bits a synapse; random and real masks.

``python -m benchmarks.hopfield_masks 320`` must have trained the real masks first (10 minutes).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int8

from benchmarks.hopfield_masks import CACHE, masks_settings, random_patterns, trained_patterns
from benchmarks.results import picture, save_results
from hopfield import RULES, HopfieldMemory, capacity, new_memory, overlap, quantised, settle
from hopfield.rules.dense import MatrixMemory
from supsup.plots import GRID, curve_styles, in_percent

SIZE = 1024
COUNTS = (20, 51, 82, 102, 123, 143, 164, 205, 307, 512, 768, 973, 1126)
REAL_COUNTS = (5, 20, 80, 320)
FLIPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.45)
MATRIX_RULES = ("hebb", "covariance", "storkey", "projection")


def recall(
    memory: HopfieldMemory, stored: Int8[np.ndarray, "pattern unit"], flips: float, probes: int
) -> dict[str, float]:
    """Share of stored patterns found again to the bit, and their mean overlap, from corrupted ones.

    Args:
        flips: share of units turned over in the start.
    """
    rng = np.random.default_rng(1)
    overlaps = []
    for index in rng.choice(len(stored), min(probes, len(stored)), replace=False):
        start = stored[index].copy()
        start[rng.choice(memory.size, round(flips * memory.size), replace=False)] *= -1
        found = settle(memory, start, max_sweeps=12)
        overlaps.append(overlap(found.pattern, stored[index]))
    return {
        "exact": round(float(np.mean([each == 1 for each in overlaps])), 3),
        "overlap": round(float(np.mean(overlaps)), 4),
    }


def by_count(
    stored: Int8[np.ndarray, "pattern unit"],
    rule: str,
    counts: Sequence[int],
    variants: Sequence[int],
    probes: int,
) -> list[dict[str, Any]]:
    """Recall from the pattern itself and from one with a tenth flipped, as patterns are added.

    Args:
        variants: bits a synapse; 0 is the full memory.
    """
    memory = new_memory(rule, stored.shape[1])
    rows = []
    for count in counts:
        for pattern in stored[memory.count : count]:
            memory.encode(pattern)
        for bits in variants:
            tried = memory
            if bits:
                assert isinstance(memory, MatrixMemory)
                tried = quantised(memory, bits)
            row: dict[str, Any] = {"rule": rule, "bits": bits, "patterns": count}
            for flips in (0.0, 0.1):
                row[f"{flips:g} flipped"] = recall(tried, stored[:count], flips, probes)
            rows.append(row)
    return rows


def by_flips(
    stored: Int8[np.ndarray, "pattern unit"], rule: str, variants: Sequence[int], probes: int
) -> list[dict[str, Any]]:
    """Recall against the corruption of the start, all of ``stored`` in the memory."""
    memory = new_memory(rule, stored.shape[1])
    for pattern in stored:
        memory.encode(pattern)
    rows = []
    for bits in variants:
        tried = memory
        if bits:
            assert isinstance(memory, MatrixMemory)
            tried = quantised(memory, bits)
        exact = {f"{flips:g}": recall(tried, stored, flips, probes)["exact"] for flips in FLIPS}
        rows.append({"rule": rule, "bits": bits, "patterns": len(stored), "exact": exact})
    return rows


def measure() -> dict[str, Any]:
    """Everything; the real masks only where they were trained."""
    rng = np.random.default_rng(2)
    biased = np.where(rng.random((max(COUNTS), SIZE)) < 0.4, 1, -1).astype(np.int8)
    results: dict[str, Any] = {
        "units of random patterns": SIZE,
        "theory": {rule: round(capacity(rule, SIZE)) for rule in MATRIX_RULES},
    }
    for name, stored in (
        ("random, density 0.5", random_patterns(max(COUNTS), SIZE)),
        ("random, density 0.4", biased),
    ):
        results[name] = {}
        for rule in (*MATRIX_RULES, "modern"):
            reach = [n for n in COUNTS if n <= 307 or rule in ("projection", "modern")]
            variants = [0] if rule == "modern" else [0, 8, 4, 2, 1]
            held = (20, 82, 512) if rule == "projection" else (20, 82)
            results[name][rule] = CACHE.cached(
                f"capacity, {name}, {rule}",
                {"size": SIZE, "counts": reach, "flips": FLIPS, "bits": variants, "held": held},
                partial(curves, stored, rule, reach, variants, held),
            )
    real = trained_patterns()
    if real is None or len(real) < max(REAL_COUNTS):
        print("no trained masks: run python -m benchmarks.hopfield_masks 320 first")
        return results
    real = real[: max(REAL_COUNTS)]
    overlaps = (real.astype(np.float32) @ real.T.astype(np.float32) / real.shape[1])[
        np.triu_indices(len(real), 1)
    ]
    results["real masks"] = {
        "units": real.shape[1],
        "masks": len(real),
        "density": quartiles((real > 0).mean(1)),
        "overlap of two": quartiles(overlaps),
    }
    results["real"] = {}
    for rule in (*MATRIX_RULES, "modern"):
        variants = [0] if rule == "modern" else [0, 2, 1]
        results["real"][rule] = CACHE.cached(
            f"capacity, real, {rule}",
            masks_settings() | {"counts": REAL_COUNTS, "flips": FLIPS, "bits": variants},
            partial(curves, real, rule, REAL_COUNTS, variants, (50,), probes=5),
        )
    return results


def curves(
    stored: Int8[np.ndarray, "pattern unit"],
    rule: str,
    counts: Sequence[int],
    variants: Sequence[int],
    held: Sequence[int],
    probes: int = 20,
) -> dict[str, Any]:
    """Recall by number, and by corruption with ``held`` patterns in the memory."""
    flips = [row for n in held for row in by_flips(stored[:n], rule, variants, probes)]
    return {"by_count": by_count(stored, rule, counts, variants, probes), "by_flips": flips}


def quartiles(values: np.ndarray) -> list[float]:
    """Smallest, median, largest."""
    return [round(float(each), 3) for each in np.quantile(values, (0, 0.5, 1))]


def draw(results: dict[str, Any]) -> None:
    """Above: recall by number stored; below: by corruption. A column for each kind of masks."""
    names = ("random, density 0.5", "random, density 0.4", "real")
    styles = curve_styles(list(RULES))
    with picture("hopfield_capacity", GRID) as figure:
        axes = figure.subplots(2, len(names), squeeze=False)
        for (top, bottom), name in zip(axes.T, names, strict=True):
            for rule, curve in results.get(name, {}).items():
                look = styles[rule]
                for bits, dashes in ((0, "-"), (1, ":")):
                    rows = [row for row in curve["by_count"] if row["bits"] == bits]
                    counts = [row["patterns"] for row in rows]
                    exact = [row["0.1 flipped"]["exact"] for row in rows]
                    label = None if bits else rule
                    top.plot(counts, exact, label=label, **{**look, "linestyle": dashes})
                for row in curve["by_flips"]:
                    if row["bits"] == 0 and row["patterns"] in (50, 82):
                        flips = [float(each) for each in row["exact"]]
                        exact = list(row["exact"].values())
                        bottom.plot(flips, exact, **look)
                        bottom.set_title(f"{name}: {row['patterns']} stored")
            top.set(xscale="log", xlabel="patterns stored (a tenth of the start flipped)")
            top.set_title(f"{name}; dotted: 1 bit a synapse")
            in_percent(bottom.xaxis, "of the start flipped")
            for each in (top, bottom):
                each.set_ylim(-0.03, 1.03)
                in_percent(each.yaxis, "recalled to the bit")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)


def main() -> None:
    """Measure, draw, save."""
    results = measure()
    draw(results)
    save_results("hopfield_capacity", results)


if __name__ == "__main__":
    main()
