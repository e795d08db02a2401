"""What coding a mask with ``seeded`` takes and how short it gets, beside an earlier commit's.

Takes the archives that ``benchmarks/mask_coding.py`` trains. Two processes, one per version (the
earlier one out of git), code the same masks in turns, so that what else the machine does falls on
both. Every code is decoded by this version and compared to the bit.
"""

import argparse
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mask_coding import FAMILIES, trained_archive
from benchmarks.results import ROOT, save_results, saved_results
from benchmarks.turns import spread
from maskstore import MaskArchive
from maskstore.codecs import BY_NAME

BEFORE = "6cca785"
"""The last commit whose search added one product at a time."""
_WORKER = """
import pickle, sys, time
from maskstore import MaskArchive
from maskstore.codecs import BY_NAME
calls, answers = sys.stdin.buffer, sys.stdout.buffer
while True:
    try:
        path, name = pickle.load(calls)
    except EOFError:
        break
    with MaskArchive.open(path) as archive:
        packed = archive.get_packed(name).copy()
        prior = archive.prior.of_task(archive.task(name).metadata)
    prior.draw(prior.start)
    start = time.process_time()
    code = BY_NAME["seeded"].encode(packed, prior)
    pickle.dump((code, time.process_time() - start), answers)
    answers.flush()
"""


class Coder:
    """A process that codes with the package found in a folder, on one thread."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            env={**os.environ, **threads, "PYTHONPATH": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def code(self, path: Path, name: str) -> tuple[bytes, float]:
        """A mask's code, and the CPU seconds that it took."""
        calls, answers = self._process.stdin, self._process.stdout
        assert calls is not None
        assert answers is not None
        pickle.dump((str(path), name), calls)
        calls.flush()
        code, seconds = pickle.load(answers)
        return code, seconds

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def package_of(commit: str, folder: Path) -> Path:
    """The sources of a commit, unpacked."""
    tar = subprocess.run(
        ["git", "archive", commit, "maskstore"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def measure(path: Path, coders: dict[str, Coder], masks: int | None) -> dict[str, Any]:
    """All masks of an archive, or so many of them, by each coder in turn."""
    seconds: dict[str, list[float]] = {version: [] for version in coders}
    bits: dict[str, list[int]] = {version: [] for version in coders}
    with MaskArchive.open(path) as archive:
        names = archive.names()[:masks]
        for coder in coders.values():
            coder.code(path, names[0])  # compiles
        for at, name in enumerate(names):
            packed = archive.get_packed(name)
            prior = archive.prior.of_task(archive.task(name).metadata)
            for version in list(coders)[:: 1 if at % 2 else -1]:
                code, took = coders[version].code(path, name)
                assert np.array_equal(BY_NAME["seeded"].decode(code, prior), packed)
                seconds[version].append(took)
                bits[version].append(8 * len(code))
        weights = archive.layout.bits
    after, before = (np.array(seconds[version]) for version in ("after", "before"))
    return {
        "masks": len(names),
        "weights": weights,
        "bits_per_weight": {v: round(float(np.mean(b)) / weights, 4) for v, b in bits.items()},
        "cpu_milliseconds": {v: spread([1e3 * each for each in s]) for v, s in seconds.items()},
        "after_over_before": spread((after / before).tolist()),
    }


def main() -> None:
    """Measure the archives and write docs/results/encoding_pace.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, help="of each archive; all by default")
    masks = parser.parse_args().masks
    with tempfile.TemporaryDirectory() as folder:
        coders = {"before": Coder(package_of(BEFORE, Path(folder))), "after": Coder(ROOT)}
        archives = saved_results("encoding_pace").get("archives", {})
        for family in FAMILIES:  # those whose images are not at hand keep their figures
            path = trained_archive(family)
            if path is not None:
                load = {"load_average": os.getloadavg()}
                archives[family] = {**measure(path, coders, masks), **load}
        for coder in coders.values():
            coder.close()
    save_results("encoding_pace", {"before": BEFORE, "archives": archives})


if __name__ == "__main__":
    main()
