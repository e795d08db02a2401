"""Bits a weight of whole archives by codec; sparse masks, speed and the paper's sizes beside it.

Needs full MNIST and Fashion-MNIST under SUPSUP_DATA; a data set that is absent is left out and
said so. The archives are trained once into ``.cache/`` (about 10 minutes on two cores).
``python -m benchmarks.mask_coding independent`` measures independent masks alone.
"""

import io
import lzma
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
import zstandard
from bitarray.util import sc_decode, sc_encode

from benchmarks.processes import start_command
from benchmarks.resnet50 import compare_with_the_paper
from benchmarks.results import picture, save_results, study_cache
from maskstore import MaskArchive, MaskLayout
from maskstore.bits import bits_over
from maskstore.codecs import BY_NAME, Prior
from maskstore.maintenance import compact
from maskstore.stats import archive_stats, binary_entropy
from supsup.plots import ROW, colour_of, curve_styles

CACHE = study_cache("mask_coding")
FAMILIES = {
    "permuted-mnist": 20,
    "rotated-mnist": 36,
    "permuted-fashion-mnist": 20,
    "rotated-fashion-mnist": 36,
}
CODECS = ("raw", "zstd", "ans", "auto", "history")
DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_SETTINGS = (
    "--net lenet-300-100 --outputs 500 --steps 1000 --batch 128 --mask threshold "
    "--optimizer rmsprop --lr 1e-4 --schedule constant --codec raw --quiet"
)


def trained_archive(family: str) -> Path | None:
    """The archive of a family with the paper's settings; trained if it is not there."""
    path = CACHE.path(f"{family}.h5")
    if not path.exists() or len(MaskArchive.open(path)) < FAMILIES[family]:
        if not os.environ.get("SUPSUP_DATA"):
            return None
        command = ["train", path, "--dataset", family, "--tasks", FAMILIES[family], "--resume"]
        if start_command(*command, *_SETTINGS.split()).wait():
            return None
    return path


def measure_archive(path: Path, codec: str) -> dict[str, Any]:
    """Re-encode a copy of an archive; every mask must come back to the bit."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "a.h5"
        shutil.copy(path, copy)
        with MaskArchive.open(path) as original, MaskArchive.open(copy, "a") as archive:
            start = time.perf_counter()
            compact(archive, codec=codec)
            encode_seconds = time.perf_counter() - start
            stats = archive_stats(archive)
            names = archive.names()
            archive.get_packed(names[0])
            start = time.perf_counter()
            for name in names:
                archive.get_packed(name)  # compares the sha256 of what it decodes
            decode_seconds = time.perf_counter() - start
            assert all(archive.task(n).sha256 == original.task(n).sha256 for n in names)
            accuracy = [task.metadata["metrics"]["accuracy"] for task in archive]
    return {
        "tasks": stats.tasks,
        "mean_accuracy": round(float(np.mean(accuracy)), 4),
        "bits_per_weight": round(stats.bits_per_weight or 0.0, 4),
        "file_bytes": stats.file_bytes,
        "payload_bytes": stats.payload_bytes,
        "payload_bits_per_weight": round(
            8 * stats.payload_bytes / stats.tasks / stats.bits_per_mask, 4
        ),
        "by_codec": stats.by_codec,
        "encode_seconds_per_mask": round(encode_seconds / stats.tasks, 3),
        "get_milliseconds_per_mask": round(1e3 * decode_seconds / stats.tasks, 2),
    }


def sparse_masks() -> list[dict[str, Any]]:
    """Independent masks of 10**6 bits by density: bytes over the entropy."""
    layout = MaskLayout({"w": (1000, 1000)})
    prior = Prior(layout=layout)
    rows = []
    for density in (*DENSITIES, 0.9, 0.99):
        mask = np.random.default_rng(0).random((1000, 1000)) < density
        packed = layout.pack({"w": mask})
        bound = layout.bits * binary_entropy(float(mask.mean())) / 8
        sizes = {
            name: len(stored)
            for name in ("raw", "gaps", "ans")
            if (stored := BY_NAME[name].encode(packed, prior)) is not None
        }
        for level in (3, 19):
            compressor = zstandard.ZstdCompressor(level=level)
            sizes[f"zstd-{level} on packed bits"] = len(compressor.compress(packed.tobytes()))
        sizes["bitarray sc_encode"] = len(sc_encode(bits_over(packed)))
        sizes["scipy csc, 16-bit indices"] = _csc_bytes(mask)
        rows.append(
            {
                "density": density,
                "entropy_bytes": round(bound),
                "over_entropy": {name: round(size / bound, 3) for name, size in sizes.items()},
            }
        )
    return rows


def _csc_bytes(mask: np.ndarray) -> int:
    matrix = scipy.sparse.csc_matrix(mask)
    return matrix.indices.astype(np.uint16).nbytes + matrix.indptr.astype(np.uint32).nbytes


def throughput(path: Path) -> list[dict[str, Any]]:
    """MB of packed mask a second, one core, for a trained mask."""
    with MaskArchive.open(path) as archive:
        name = archive.names()[2]
        trained, layout = archive.get_packed(name).copy(), archive.layout
        prior = archive.prior.of_task(archive.task(name).metadata)
    return _throughput(f"trained, {layout.bits} weights", trained, prior)


def sparse_throughput() -> list[dict[str, Any]]:
    """The same for an independent mask of density 0.05."""
    layout = MaskLayout({"w": (1000, 1000)})
    packed = layout.pack({"w": np.random.default_rng(0).random((1000, 1000)) < 0.05})
    return _throughput("density 0.05, 1000000 weights", packed, Prior(layout=layout))


def _throughput(what: str, packed: np.ndarray, prior: Prior) -> list[dict[str, Any]]:
    rows = []
    for method, (encode, decode) in _methods(packed, prior).items():
        stored = encode()
        if stored is None:
            continue
        seconds = _best(encode, 2 if method == "seeded" else 5)
        back = _best(lambda d=decode, s=stored: d(s), 20)
        rows.append(
            {
                "mask": what,
                "method": method,
                "bytes": len(stored),
                "encode_mb_per_s": round(packed.size / seconds / 1e6, 2),
                "decode_mb_per_s": round(packed.size / back / 1e6, 2),
                "decode_milliseconds": round(1e3 * back, 3),
            }
        )
    return rows


def _methods(packed: np.ndarray, prior: Prior) -> dict[str, tuple[Callable, Callable]]:
    bits = prior.layout.unpack_flat(packed).view(np.bool_)
    methods: dict[str, tuple[Callable, Callable]] = {
        name: (lambda c=codec: c.encode(packed, prior), lambda s, c=codec: c.decode(s, prior))
        for name, codec in BY_NAME.items()
    }
    data = packed.tobytes()
    for level in (3, 19):
        methods[f"zstd-{level}"] = (
            lambda level=level: zstandard.ZstdCompressor(level=level).compress(data),
            lambda s: zstandard.ZstdDecompressor().decompress(s),
        )
    view = bits_over(packed)
    methods["bitarray sc_encode"] = (lambda: sc_encode(view), lambda s: sc_decode(iter(s)))
    methods["lzma"] = (lambda: lzma.compress(data), lzma.decompress)
    methods["torch.save, bool"] = (lambda: _torch_save(bits), _torch_load)
    methods["scipy csc, 16-bit indices"] = (lambda: _csc(bits), _from_csc)
    try:
        from pyroaring import BitMap

        methods["roaring"] = (
            lambda: BitMap(np.flatnonzero(bits).astype(np.uint32)).serialize(),
            lambda s: np.array(BitMap.deserialize(s)),
        )
    except ImportError:
        print("pyroaring is not installed: roaring bitmaps are left out")
    return methods


def _torch_save(bits: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    torch.save(torch.from_numpy(bits), buffer)
    return buffer.getvalue()


def _torch_load(stored: bytes) -> torch.Tensor:
    return torch.load(io.BytesIO(stored), weights_only=True)


def _csc(bits: np.ndarray) -> bytes:
    matrix = scipy.sparse.csc_matrix(bits.reshape(-1, 400))
    return matrix.indptr.astype(np.uint32).tobytes() + matrix.indices.astype(np.uint16).tobytes()


def _from_csc(stored: bytes) -> np.ndarray:
    indptr = np.frombuffer(stored, np.uint32, 401).astype(np.int32)
    indices = np.frombuffer(stored, np.uint16, offset=indptr.nbytes).astype(np.int32)
    ones = np.ones(len(indices), np.bool_)
    return scipy.sparse.csc_matrix((ones, indices, indptr)).toarray()


def _best(call: Callable, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def plot(archives: dict[str, Any], sparse: list[dict[str, Any]]) -> None:
    """Bits a weight by family and codec; bytes over the entropy by density."""
    places = np.arange(len(archives))
    with picture("mask_coding", ROW) as figure:
        left, right = figure.subplots(1, 2)
        for at, codec in enumerate(CODECS):
            heights = [figures[codec]["bits_per_weight"] for figures in archives.values()]
            where = places + (at - 2) * 0.17
            bars = left.bar(where, heights, 0.17, color=colour_of(codec), label=codec)
            if codec in ("auto", "history"):
                left.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=2)
        left.set_xticks(places, [name.replace("-", "\n") for name in archives])
        left.set(ylabel="bits a weight, whole file", ylim=(0, 1.2))
        left.legend(ncols=len(CODECS), loc="upper center")
        shown = sparse[: len(DENSITIES)]
        for method, style in curve_styles(list(sparse[-1]["over_entropy"])).items():
            over = [row["over_entropy"].get(method) or math.nan for row in shown]
            right.plot([row["density"] for row in shown], over, label=method, **style)
        right.set(xscale="log", xlabel="density of an independent mask")
        right.set(yscale="log", ylabel="bytes over the binary entropy", ylim=(0.9, 90))
        right.legend(ncols=2, loc="upper center")


def main() -> None:
    """Measure everything and write docs/results/mask_coding.{json,svg}."""
    torch.set_num_threads(1)
    if sys.argv[1:] == ["independent"]:
        figures = {"sparse": sparse_masks(), "throughput": sparse_throughput()}
        save_results(
            "mask_coding_independent", figures, "python -m benchmarks.mask_coding independent"
        )
        return
    archives: dict[str, Any] = {}
    missing = []
    for family in FAMILIES:
        path = trained_archive(family)
        if path is None:
            missing.append(family)
            continue
        archives[family] = {codec: measure_archive(path, codec) for codec in CODECS}
        print(family, archives[family]["auto"], flush=True)
    sparse = sparse_masks()
    speed = throughput(CACHE.path(f"{next(iter(archives))}.h5")) + sparse_throughput()
    plot(archives, sparse)
    save_results(
        "mask_coding",
        {
            "missing": missing,
            "archives": archives,
            "sparse": sparse,
            "throughput": speed,
            "resnet50": compare_with_the_paper(),
        },
    )


if __name__ == "__main__":
    main()
