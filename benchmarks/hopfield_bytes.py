"""Bytes against the number of tasks: explicit archive, Hopfield memories, dense models.

``python -m benchmarks.hopfield_masks 320`` must have trained the masks first (10 minutes).
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hopfield_masks import (
    BITS,
    CACHE,
    CONFIG,
    RECIPE,
    masks_settings,
    trained_patterns,
)
from benchmarks.results import picture, save_results
from hopfield import (
    RULES,
    BlockMemory,
    HopfieldMemory,
    capacity,
    layer_blocks,
    masks_of,
    new_memory,
    quantised,
    save_memory,
)
from hopfield.rules.dense import MatrixMemory
from maskstore.seeded.scores import ScoreStart
from supsup import build
from supsup.archives import create_archive
from supsup.plots import DARK, ROW, colour_of, curve_styles

COUNTS = (5, 20, 80, 320)
CODECS = ("raw", "zstd", "seeded", "auto")
QUANTISED = (8, 4, 2, 1)


def archive_bytes(patterns: np.ndarray, codec: str, folder: Path) -> int:
    """Length of an archive with these masks, all of its file."""
    backbone = build(RECIPE)
    path = folder / f"{codec}-{len(patterns)}.h5"
    about = {"scores": ScoreStart(seed=CONFIG.seed).to_json()}
    with create_archive(path, backbone) as archive:
        for index, pattern in enumerate(patterns):
            archive.add(f"two-way/{index}", masks_of(pattern, backbone.layout), about, codec=codec)
    return path.stat().st_size


def variants_of(memory: HopfieldMemory) -> dict[str, HopfieldMemory]:
    """The memory and, where it has matrices, its quantised forms."""
    found = {"full": memory}
    for bits in QUANTISED:
        if isinstance(memory, MatrixMemory):
            found[f"{bits} bits"] = quantised(memory, bits)
        elif isinstance(memory, BlockMemory):
            found[f"{bits} bits"] = memory.quantised(bits)
    return found


def memory_bytes(patterns: np.ndarray, folder: Path) -> list[dict[str, Any]]:
    """File and uncompressed bytes of every rule, form and quantisation, at every count."""
    blocks = layer_blocks(build(RECIPE).layout)
    memories = [new_memory(rule, BITS) for rule in ("hebb", "covariance", "storkey", "projection")]
    memories += [new_memory("storkey", BITS, form="blocks", blocks=blocks)]
    memories += [new_memory("projection", BITS, form="packed"), new_memory("modern", BITS)]
    return [
        row
        for memory in memories
        for row in CACHE.cached(
            f"bytes, {memory.rule} {memory.form}",
            masks_settings() | {"counts": COUNTS, "bits": QUANTISED},
            partial(_growing, memory, patterns, folder),
        )
    ]


def _growing(memory: HopfieldMemory, patterns: np.ndarray, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for count in COUNTS:
        for pattern in patterns[memory.count : count]:
            memory.encode(pattern)
        for name, variant in variants_of(memory).items():
            size = save_memory(folder / "memory.h5", variant, {})
            rows.append(
                {
                    "rule": memory.rule,
                    "form": memory.form,
                    "synapse": name,
                    "tasks": count,
                    "file_bytes": size,
                    "bytes_before_zstd": variant.nbytes,
                }
            )
    return rows


def theory() -> dict[str, Any]:
    """What a d × d memory costs at its capacity in random patterns, bit for bit."""
    matrices = 2 * 2048 * 2048 * 4
    found: dict[str, Any] = {
        "reference: two float32 2048 × 2048 matrices, bytes": matrices,
        "five packed masks, bytes": 5 * BITS // 8,
        "break-even of the reference, tasks": matrices // (BITS // 8),
    }
    for rule in ("hebb", "storkey", "projection"):
        patterns = capacity(rule, BITS)
        found[rule] = {
            "capacity, patterns": round(patterns),
            "packed masks at capacity, bytes": round(patterns * BITS / 8),
            "bits a weight of the whole matrix": round(patterns / BITS, 3),
            "bits a synapse (pair of units)": round(patterns * BITS / (BITS * (BITS - 1) / 2), 3),
            "break-even, tasks: float32 triangle": round(BITS * (BITS - 1) / 2 * 32 / BITS),
            "break-even, tasks: one bit a synapse": round(BITS * (BITS - 1) / 2 / BITS),
        }
    return found


def draw(results: dict[str, Any]) -> None:
    """Bytes against tasks, both axes logarithmic."""
    tasks = np.array([1, 10, 100, 1000, 10_000, 100_000])
    styles = curve_styles([*CODECS, *RULES])
    with picture("hopfield_bytes", ROW) as figure:
        axes = figure.subplots()
        axes.plot(tasks, 4 * results["parameters"] * tasks, "k-", label="dense float32 models")
        axes.plot(tasks, tasks * BITS / 8, "k:", label="packed masks, 512 bytes each")
        for codec in CODECS:
            sizes = results["archive"][codec]
            counts = [int(count) for count in sizes]
            label = f"archive, {codec}"
            axes.plot(counts, list(sizes.values()), label=label, **styles[codec])
        for synapse, dashes in (("full", "-"), ("1 bits", ":")):
            for rule in RULES:
                rows = [
                    row
                    for row in results["memories"]
                    if row["rule"] == rule
                    and row["synapse"] == synapse
                    and row["form"] == ("packed" if rule == "modern" else "dense")
                ]
                if rows:
                    axes.plot(
                        [row["tasks"] for row in rows],
                        [row["file_bytes"] for row in rows],
                        label=f"Hopfield, {rule}, {synapse.replace('1 bits', '1 bit')}",
                        **{**styles[rule], "linestyle": dashes},
                    )
        for place, text, colour in (
            (capacity("hebb", BITS), " 0.138 d", colour_of("hebb")),
            (BITS, " d", colour_of("projection")),
            (65_536, " 65,536", DARK),
        ):
            axes.axvline(place, color=colour, lw=1)
            axes.text(place, 3e2, text, fontsize=8)
        axes.set(xscale="log", yscale="log", xlabel="tasks", ylabel="bytes")
        figure.legend(loc="outside right center")


def main() -> None:
    """Measure, draw, save."""
    patterns = trained_patterns()
    if patterns is None or len(patterns) < max(COUNTS):
        raise SystemExit("train the masks first: python -m benchmarks.hopfield_masks 320")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = {
            codec: CACHE.cached(
                f"bytes, archive {codec}",
                masks_settings() | {"counts": COUNTS},
                lambda codec=codec: {n: archive_bytes(patterns[:n], codec, folder) for n in COUNTS},
            )
            for codec in CODECS
        }
        memories = memory_bytes(patterns, folder)
    results = {
        "parameters": build(RECIPE).parameter_count,
        "archive": archive,
        "memories": memories,
        "theory": theory(),
    }
    draw(results)
    save_results("hopfield_bytes", results)


if __name__ == "__main__":
    main()
