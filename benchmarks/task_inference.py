"""Task inference on trained PermutedMNIST masks: scenario GNu by number of tasks, GG beside it.

The archives are made before, and in pieces where time is short (``--resume`` goes on):

    supsup-store train .cache/inference/permuted-100.h5 --dataset permuted-mnist --tasks 250 \
        --net lenet-300-100 --outputs 100 --resume
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.results import save_results
from maskstore import MaskArchive
from maskstore.packed import PackedMasks
from supsup import evaluate_gg
from supsup.inference import MaskBank, evaluate_gnu
from supsup.session import backbone_of, tasks_of

COUNTS = (10, 50, 100, 150, 200, 250)


class Shortened:
    """A task with the first images of its test set only."""

    def __init__(self, task: Any, images: int) -> None:
        self.name, self.classes, self._task, self._images = task.name, task.classes, task, images

    def test_batches(self, size: int) -> Any:
        """The first images, ``size`` at a time."""
        seen = 0
        for x, y in self._task.test_batches(min(size, self._images)):
            yield x, y
            seen += len(y)
            if seen >= self._images:
                return


def main() -> None:
    """For each number of tasks: methods and objectives, ``--images`` test images of each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--name", default="task_inference")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--runs", nargs="*", default=["one-shot:image", "hybrid:image"])
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"images_a_task": arguments.images, "rows": []}
    with MaskArchive.open(arguments.archive) as archive:
        backbone = backbone_of(archive)
        everything = archive.packed()
        tasks = [Shortened(task, arguments.images) for task in tasks_of(archive)]
    figures["outputs"] = backbone.recipe.outputs if backbone.recipe else None
    for count in arguments.counts:
        if count > len(tasks):
            break
        masks = PackedMasks(
            layout=everything.layout,
            names=everything.names[:count],
            bits=everything.bits[:count],
        )
        given = evaluate_gg(
            backbone, [(task, masks.unpack(at)) for at, task in enumerate(tasks[:count])]
        )
        row: dict[str, Any] = {"tasks": count, "GG": given.accuracy}
        bank = MaskBank(backbone, masks, classes=10)
        for run in arguments.runs:
            method, mode = run.split(":")
            for objective in ("entropy", "superfluous"):
                start = time.perf_counter()
                found = evaluate_gnu(
                    bank, tasks[:count], method=method, objective=objective, mode=mode
                )
                row[f"{method} {objective} {mode}"] = {
                    "task_accuracy": found.task_accuracy,
                    "accuracy": found.accuracy,
                    "seconds": round(time.perf_counter() - start, 1),
                }
        figures["rows"].append(row)
        print(row, flush=True)
    save_results(arguments.name, figures)


if __name__ == "__main__":
    main()
