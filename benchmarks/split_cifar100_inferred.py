"""SplitCIFAR100 without the task given: the masks of the ResNet-18, and prototypes, with bytes.

    python -m benchmarks.split_cifar100_inferred --data cifar100.npz [--ways 10]

The masks are those of ``python -m benchmarks.split_cifar100``, found under ``.cache`` or trained
anew; ``--of-all-classes`` asks prototypes alone, which need none. Single test images; every mask
and One-Shot answer for every fifth. Each method is a cell of
docs/results/split_cifar100_inferred.json, and a run goes on where the last one stopped.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.prototypes import model_of
from benchmarks.prototypes_trained import CLASSES, without_masks
from benchmarks.results import save_results, saved_results
from benchmarks.split_cifar100 import BATCH as TRAINED_BY
from benchmarks.split_cifar100 import EPOCHS, MASKS, WAYS, Figures, Study, images, reported
from maskstore import archive_stats
from supsup import SupSup, build
from supsup.inference.methods import Method, Prototypes
from supsup.inference.prototypes import FeatureRecipe, Features, add_prototypes
from supsup.networks.statistics import PROTOTYPES
from supsup.tasks import Task

STUDY = "split_cifar100_inferred"
SIZES, LAYERS = (248, 2048), (None, "layer4")
"""Numbers of a feature vector, and what of the unmasked network it is a projection of."""
SHORTLIST = 5
PART = 5
"""Of the test images every so-manyth is enough for what tries masks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Tasks with their masks, in an archive of its own that prototypes may be written into."""

    model: SupSup
    tasks: list[Task]
    seed: int

    def by(self, method: str | Method, *, every: int = 1) -> Figures:
        """Shares of test images: task found, and right among the classes of all tasks."""
        some = [
            replace(each, test_images=each.test_images[::every], test_y=each.test_y[::every])
            for each in self.tasks
        ]
        start = time.process_time()
        rows = self.model.evaluate(some, "GNu", method=method).per_task
        seconds = time.process_time() - start
        return {
            "task_found": fmean(row.task_accuracy for row in rows),
            "accuracy": fmean(row.accuracy for row in rows),
            "images": sum(each.test_size for each in some),
            "cpu_ms_an_image": round(1e3 * seconds / sum(each.test_size for each in some), 2),
        }

    def prototypes(self, size: int, layer: str | None, shortlist: int) -> Figures:
        """By prototypes of such features, and masks on a short list if there is one."""
        recipe = FeatureRecipe(size=size, seed=self.seed, layer=layer)
        add_prototypes(self.model.archive, self.model.backbone, self.tasks, recipe, rebuild=True)
        own = [
            sum(each.bytes for each in stored.tensors if each.name == PROTOTYPES)
            for stored in self.model.archive
        ]
        found = self.by(Prototypes(shortlist=shortlist), every=PART if shortlist else 1)
        if not shortlist:
            found |= without_masks(self.model, self.tasks, self.tasks[0].classes)
        return found | {
            "prototype_bytes_a_task": round(fmean(own)),
            "shared_bytes": archive_stats(self.model.archive).shared_bytes,
        }

    def given(self) -> Figures:
        """Accuracy with the task given, and what a mask and its statistics take."""
        stored = list(self.model.archive)
        return {
            "accuracy": fmean(row.accuracy for row in self.model.evaluate(self.tasks).per_task),
            "mask_bytes": round(fmean(each.bytes for each in stored)),
            "statistics_bytes": round(
                fmean(sum(tensor.bytes for tensor in each.tensors) for each in stored)
            ),
        }


def methods(masks: Masks) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """What is measured, by name."""
    yield "task given", masks.given
    for method in ("exhaustive", "one-shot", "logits"):
        yield method, partial(masks.by, method, every=PART)
    for layer, size, shortlist in product(LAYERS, SIZES, (0, SHORTLIST)):
        of = _named(size, layer)
        name = f"{of}, masks of {shortlist}" if shortlist else of
        yield name, partial(masks.prototypes, size, layer, shortlist)


def _named(size: int, layer: str | None) -> str:
    return f"prototypes, {size} features of {layer or 'the input'}"


def of_all_classes(study: Study, seed: int, size: int, layer: str | None) -> Figures:
    """Prototypes of all tasks, which need no mask: task found, and class among all 100."""
    tasks = study.tasks(seed, CLASSES // study.ways - 1)
    net = build(study.network(seed, "signed-constant", "running"))
    features = Features(FeatureRecipe(size=size, seed=seed, layer=layer), net)
    model = model_of(tasks, features)
    found, right = [], []
    for at, task in enumerate(tasks):
        for x, y in task.test_batches(500):
            values = features(x)
            found.append(float((model.task_scores(values).argmax(1) == at).mean()))
            label = model.starts[at] + y.numpy()
            right.append(float((model.class_scores(values).argmax(1) == label).mean()))
    return {"task_found": fmean(found), "class_by_prototypes": fmean(right)}


def main() -> None:
    """Measure what is missing and write docs/results/split_cifar100_inferred.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="cifar100.npz")
    parser.add_argument("--arm", choices=list(MASKS), default="supsup 0.3")
    parser.add_argument("--ways", type=int, default=WAYS, help="classes of a task")
    parser.add_argument("--tasks", type=int, help="the first ones; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--of-all-classes", action="store_true", help="prototypes of all tasks, without masks"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    suffix = f", ways {options.ways}" if options.ways != WAYS else ""
    study = Study(data=images(options.data), ways=options.ways, suffix=suffix)
    count = options.tasks or CLASSES // options.ways
    steps = -(-options.epochs * 500 * options.ways // TRAINED_BY)
    for seed in options.seeds:
        if options.of_all_classes:
            asked = (
                (_named(size, layer), partial(of_all_classes, study, seed, size, layer))
                for layer, size in product(LAYERS, SIZES)
            )
            measure_missing(f"no masks/tasks={count}/seed={seed}", asked)
            continue
        (cell,) = reported([options.arm], range(count - 1, count), [seed], steps, suffix)
        tasks = study.tasks(seed, count - 1)
        with study.archive(cell, tasks) as archive:
            trained = archive.path
        with tempfile.TemporaryDirectory() as folder:
            path = shutil.copy(trained, Path(folder) / "a.h5")
            with SupSup.open(path, mode="a") as model:
                masks = Masks(model=model, tasks=tasks, seed=seed)
                part = f"{cell.arm}/tasks={count}/seed={seed}/steps={steps}"
                measure_missing(part, methods(masks))


def measure_missing(part: str, asked: Iterable[tuple[str, Callable[[], Figures]]]) -> None:
    """Those that a part of the results lacks."""
    for name, ask in asked:
        if name not in saved_results(STUDY).get("cells", {}).get(part, {}):
            found = ask()
            document = saved_results(STUDY)
            document.setdefault("cells", {}).setdefault(part, {})[name] = found
            save_results(STUDY, document | {"torch": torch.__version__}, quiet=True)
            print(name, found, flush=True)


if __name__ == "__main__":
    main()
