"""Many small masks: this archive beside what one would do instead. Needs the extra ``bench``.

100,000 masks of 10,000 bits for the archive and SQLite; 10,000 for those that keep a file or a
dataset per mask (so that the run ends), and for the archive and SQLite again, to compare.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import zarr
from safetensors.numpy import load_file, save_file

from benchmarks.results import picture, save_results
from maskstore import MaskArchive, MaskLayout
from supsup.plots import OTHER, OURS, ROW

BITS = 10_000
LAYOUT = MaskLayout({"w": (BITS,)})
RNG = np.random.default_rng(0)
POOL = [RNG.random(BITS) < 0.5 for _ in range(64)]
PACKED = [np.packbits(mask, bitorder="little") for mask in POOL]
TRANSACTION = 1000


def names(tasks: int) -> list[str]:
    """``permuted-mnist/0`` and so on."""
    return [f"permuted-mnist/{number}" for number in range(tasks)]


class Ours:
    """The mask archive, codec raw, transactions of 1,000."""

    def write(self, path: Path, tasks: int) -> None:
        with MaskArchive.create(path, LAYOUT) as archive:
            for start in range(0, tasks, TRANSACTION):
                stop = min(start + TRANSACTION, tasks)
                archive.add_many(
                    (
                        (f"permuted-mnist/{number}", {"w": POOL[number % 64]}, {})
                        for number in range(start, stop)
                    ),
                    codec="raw",
                )

    def list(self, path: Path) -> int:
        with MaskArchive.open(path) as archive:
            return sum(1 for _ in archive)

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        archive = MaskArchive.open(path)
        return lambda name: archive.get(name)["w"]


class Sqlite:
    """A table of name, sha256 and blob, transactions of 1,000, synchronous=FULL."""

    def write(self, path: Path, tasks: int) -> None:
        with sqlite3.connect(path) as database:
            database.execute("pragma synchronous=full")
            database.execute("create table masks (name text primary key, bits blob)")
            for start in range(0, tasks, TRANSACTION):
                rows = (
                    (f"permuted-mnist/{n}", PACKED[n % 64].tobytes())
                    for n in range(start, min(start + TRANSACTION, tasks))
                )
                database.executemany("insert into masks values (?, ?)", rows)
                database.commit()

    def list(self, path: Path) -> int:
        with sqlite3.connect(path) as database:
            return sum(1 for _ in database.execute("select name, length(bits) from masks"))

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        database = sqlite3.connect(path)

        def get(name: str) -> np.ndarray:
            (blob,) = database.execute("select bits from masks where name = ?", (name,)).fetchone()
            return np.unpackbits(np.frombuffer(blob, np.uint8), count=BITS, bitorder="little")

        return get


class Hdf5Datasets:
    """One HDF5 dataset per mask, zstd filter."""

    def write(self, path: Path, tasks: int) -> None:
        with h5py.File(path, "w") as file:
            for number, name in enumerate(names(tasks)):
                packed = PACKED[number % 64]
                file.create_dataset(name, data=packed, chunks=packed.shape, **hdf5plugin.Zstd())

    def list(self, path: Path) -> int:
        with h5py.File(path) as file:
            return sum(file["permuted-mnist"][name].size > 0 for name in file["permuted-mnist"])

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        file = h5py.File(path)
        return lambda name: np.unpackbits(file[name][...], count=BITS, bitorder="little")


class Zarr:
    """One zarr v3 array per mask, its default zstd."""

    def write(self, path: Path, tasks: int) -> None:
        group = zarr.create_group(path, zarr_format=3)
        for number, name in enumerate(names(tasks)):
            group.create_array(name, data=PACKED[number % 64])

    def list(self, path: Path) -> int:
        return sum(1 for _ in zarr.open_group(path, mode="r")["permuted-mnist"].arrays())

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        group = zarr.open_group(path, mode="r")
        return lambda name: np.unpackbits(group[name][...], count=BITS, bitorder="little")


class Safetensors:
    """One safetensors file per mask, bit-packed."""

    def write(self, path: Path, tasks: int) -> None:
        (path / "permuted-mnist").mkdir(parents=True)
        for number, name in enumerate(names(tasks)):
            save_file({"w": PACKED[number % 64]}, path / f"{name}.safetensors")

    def list(self, path: Path) -> int:
        return sum(entry.stat().st_size > 0 for entry in path.glob("*/*.safetensors"))

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        return lambda name: np.unpackbits(
            load_file(path / f"{name}.safetensors")["w"], count=BITS, bitorder="little"
        )


class Npz:
    """A folder of compressed .npz files."""

    def write(self, path: Path, tasks: int) -> None:
        (path / "permuted-mnist").mkdir(parents=True)
        for number, name in enumerate(names(tasks)):
            np.savez_compressed(path / f"{name}.npz", w=PACKED[number % 64])

    def list(self, path: Path) -> int:
        return sum(entry.stat().st_size > 0 for entry in path.glob("*/*.npz"))

    def getter(self, path: Path) -> Callable[[str], np.ndarray]:
        def get(name: str) -> np.ndarray:
            with np.load(path / f"{name}.npz") as file:
                return np.unpackbits(file["w"], count=BITS, bitorder="little")

        return get


def bytes_of(path: Path) -> int:
    """Bytes of a file or of all files of a folder, rounded up to no block."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def measure(system: Any, folder: Path, tasks: int) -> dict[str, float]:
    """Seconds and bytes of one system."""
    path = folder / f"{type(system).__name__}-{tasks}"
    start = time.perf_counter()
    system.write(path, tasks)
    wrote = time.perf_counter() - start
    listed = []
    for _ in range(3):
        start = time.perf_counter()
        assert system.list(path) == tasks
        listed.append(time.perf_counter() - start)
    get = system.getter(path)
    chosen = [f"permuted-mnist/{n}" for n in np.random.default_rng(1).integers(0, tasks, 1000)]
    for name in chosen[:100]:
        get(name)
    start = time.perf_counter()
    for name in chosen:
        assert np.array_equal(get(name), POOL[int(name.split("/")[1]) % 64])
    got = (time.perf_counter() - start) / len(chosen)
    size = bytes_of(path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {
        "tasks": tasks,
        "masks_written_per_second": round(tasks / wrote),
        "open_and_list_seconds": round(min(listed), 4),
        "get_milliseconds": round(1000 * got, 4),
        "bytes_per_task": round(size / tasks, 1),
        "overhead_bytes_per_task": round(size / tasks - BITS / 8, 1),
    }


def runs() -> Iterator[tuple[Any, int]]:
    """What is measured, in order."""
    yield Ours(), 100
    for system in (Ours(), Sqlite(), Hdf5Datasets(), Zarr(), Safetensors(), Npz()):
        yield system, 10_000
    yield Ours(), 100_000
    yield Sqlite(), 100_000


def main() -> None:
    """One run over all systems."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for system, tasks in runs():
            label = f"{type(system).__name__} {tasks}"
            figures[label] = measure(system, Path(folder), tasks)
            print(label, figures[label], flush=True)
    save_results("archive_scale", {"bits_per_mask": BITS, "systems": figures})
    draw(figures)


CALLED = {
    "Ours": "this package",
    "Sqlite": "SQLite",
    "Hdf5Datasets": "HDF5, a dataset each",
    "Zarr": "Zarr, an array each",
    "Safetensors": "safetensors, a file each",
    "Npz": ".npz, a file each",
}
"""System → what the picture calls it."""


def draw(figures: dict[str, dict[str, float]]) -> None:
    """Four bars a system at 10,000 tasks: docs/results/archive_scale.svg."""
    shown = {label.split()[0]: row for label, row in figures.items() if label.endswith(" 10000")}
    keys = {
        "masks_written_per_second": "masks written a second",
        "open_and_list_seconds": "open + list, s",
        "get_milliseconds": "one random get, ms",
        "overhead_bytes_per_task": "bytes a task over the payload",
    }
    colours = [OURS if name == "Ours" else OTHER for name in shown]
    with picture("archive_scale", ROW) as figure:
        panels = figure.subplots(1, 4, sharey=True)
        for axes, (key, title) in zip(panels, keys.items(), strict=True):
            bars = axes.barh(
                [CALLED[name] for name in shown],
                [row[key] for row in shown.values()],
                color=colours,
            )
            axes.bar_label(bars, [f" {row[key]:,g}" for row in shown.values()], fontsize=7)
            axes.set_xscale("log")
            axes.margins(x=0.35)
            axes.set_title(title)
        panels[0].invert_yaxis()


if __name__ == "__main__":
    main()
