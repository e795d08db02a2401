"""Statistics of a thousand tasks, killed at random moments: what is lost, what a file grows by.

    python -m benchmarks.prototypes_killed [--kills N]      # 0: what a file grows by alone

Each run is a process that measures made-up tasks, 256 images of 64 numbers in two classes, and is
killed with SIGKILL after a random time. After every kill the archive is verified, and whatever
means it has must be those of an unbroken run, byte for byte. The last run ends by itself.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import save_results, saved_results
from maskstore import MaskArchive, archive_stats, compact, verify
from supsup import Backbone, BackboneRecipe, TensorTask, build
from supsup.archives import create_archive
from supsup.choices import PROTOTYPES_SET
from supsup.inference.prototypes import add_prototypes
from supsup.inference.prototypes.stored import MEANS, stored_covariance

TASKS, KILLS, IMAGES, INPUTS = 1_000, 40, 256, 64


def network() -> Backbone:
    """A small one: nothing here depends on its masks."""
    options = {"inputs": INPUTS, "hidden": [16, 16]}
    return build(BackboneRecipe(net="lenet-300-100", outputs=2, options=options))


def task(at: int) -> TensorTask:
    """Two classes of normal noise about centres of the task's own."""
    rng = np.random.default_rng(at)
    y = np.arange(IMAGES) % 2
    x = rng.normal(size=(2, INPUTS))[y] + rng.normal(size=(IMAGES, INPUTS))
    data = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)
    return TensorTask(f"task/{at}", train=data, test=data, classes=2)


def measure(path: Path) -> None:
    """Add the statistics of all tasks that have none yet."""
    torch.set_num_threads(1)
    with MaskArchive.open(path, "a") as archive:
        add_prototypes(archive, network(), (task(at) for at in range(TASKS)))


def make(path: Path) -> None:
    """An archive of random masks."""
    backbone, rng = network(), np.random.default_rng(0)
    with create_archive(path, backbone) as archive, archive.transaction():
        for at in range(TASKS):
            masks = {name: rng.random(s) < 0.5 for name, s in backbone.layout.shapes.items()}
            archive.add(f"task/{at}", masks, codec="fast")


def contents(path: Path) -> tuple[dict[str, bytes], int]:
    """The means of each task that has some, and how many tasks are in the covariance."""
    with MaskArchive.open(path) as archive:
        if bad := verify(archive, deep=False):
            raise RuntimeError(f"damaged: {bad}")
        if len(archive) != TASKS:
            raise RuntimeError(f"{len(archive)} tasks")
        found = {each.name: archive.tensors(each.name) for each in archive if each.tensors}
        total = len(stored_covariance(archive, 248).tasks) if archive.shared else 0
        return {name: tensors[MEANS].tobytes() for name, tensors in found.items()}, total


def growth(path: Path, before: int) -> dict[str, Any]:
    """What the file grew by, and what the archive tells of it."""
    with MaskArchive.open(path) as archive:
        own = sum(each.bytes for one in archive for each in one.tensors)
        shared = sum(each.bytes for each in archive.shared[PROTOTYPES_SET])
        told = archive_stats(archive)
    grown = path.stat().st_size - before
    with MaskArchive.open(path, "a") as archive:
        compact(archive)
    return {
        "bytes": grown,
        "bytes_once_compacted": path.stat().st_size - before,
        "of_tasks": own,
        "shared": shared,
        "told_by_stats": [told.tensor_bytes_per_task, told.shared_bytes],
    }


def main() -> None:
    """Run and write docs/results/prototypes_killed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        measure(options.run)
        return
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole.h5", Path(folder) / "broken.h5"
        make(whole)
        with MaskArchive.open(whole, "a") as archive:
            compact(archive)
        before = whole.stat().st_size
        broken.write_bytes(whole.read_bytes())
        measure(whole)
        if not options.kills:
            grown = saved_results("prototypes_killed") | {"grown": growth(whole, before)}
            save_results("prototypes_killed", grown)
            return
        expected, _ = contents(whole)
        command = [sys.executable, "-m", "benchmarks.prototypes_killed", "--run", str(broken)]
        kept, killed, ended = [0], 0, 0
        for _ in range(options.kills):
            process = subprocess.Popen(command)
            try:
                process.wait(float(rng.uniform(3, 40)))
                ended += 1
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
            means, total = contents(broken)
            wrong = [name for name, rows in means.items() if rows != expected[name]]
            if wrong or len(means) < kept[-1] or total > len(means):
                raise RuntimeError(f"lost or wrong after kill {killed}: {wrong[:3]}, {len(means)}")
            kept.append(len(means))
            if len(means) == TASKS:  # begin anew: the masks alone
                with MaskArchive.open(broken, "a") as archive, archive.transaction():
                    for one in archive:
                        archive.set_tensors(one.name, {})
                    archive.set_shared_tensors(PROTOTYPES_SET, {})
                kept.append(0)
        measure(broken)
        means, _ = contents(broken)
        figures = {
            "tasks": TASKS,
            "killed": killed,
            "ended": ended,
            "kept_after_each": kept,
            "lost": TASKS - len(means),
            "same_as_unbroken": means == expected,
            "grown": growth(whole, before),
        }
    save_results("prototypes_killed", figures)


if __name__ == "__main__":
    main()
