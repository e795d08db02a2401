"""Whose task is one image? Prototypes beside trying every mask, on tasks that are alike.

    SUPSUP_DATA=DIR python -m benchmarks.prototypes [--families split-mnist,…] [--speed] [--few]

Features and width were chosen on held-out training images of SplitMNIST under the seeds 5 to 7;
here the test sets are asked under the seeds 11 to 13. ``--few``: means of few training images.
Speed: made-up means, one thread.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import picture, save_results, saved_results
from maskstore import MaskArchive, PackedMasks
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, iter_train_into
from supsup.datasets import load
from supsup.inference.bank import MaskBank
from supsup.inference.find_task import infer_in
from supsup.inference.prototypes import (
    ClassMeans,
    FeatureRecipe,
    Features,
    PooledCovariance,
    PrototypeModel,
    measure,
)
from supsup.networks.backbone import Backbone
from supsup.plots import in_percent
from supsup.tasks import Task, make_task, task_family

SEEDS = (11, 12, 13)
SIZES = (128, 248, 1000)
FAMILIES = {
    "split-mnist": 5,
    "split-fashion-mnist": 5,
    "permuted-mnist": 20,
    "rotated-mnist": 36,
    "permuted-mnist@250": 250,
}
"""Family → tasks; of many every fortieth test image is asked for."""
IMAGES, MANY_IMAGES = 10_000, 2_000
"""Training images of a task that are measured, and test images that are asked for, at most: where
there are few tasks, and where there are more than five."""
FEW = (20, 50, 200, 1_000)
"""Training images of a task."""
BATCHES = (1, 4, 16, 128)
TASKS = (10, 100, 1_000, 10_000)
MASKS_TRIED = 1_000
ASKED = 128


def main() -> None:
    """Measure and write docs/results/prototypes.{json,svg}; what is not asked for stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--speed", action="store_true", help="speed alone")
    parser.add_argument("--few", action="store_true", help="few training images alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    document = saved_results("prototypes")
    found = document.get("families", {})
    if options.few:
        names = [name for name in options.families.split(",") if name.startswith("split")]
        document["few"] = document.get("few", {}) | {name: few(name) for name in names}
        print(document["few"], flush=True)
    elif not options.speed:
        for name in options.families.split(","):
            found[name] = family(name, FAMILIES[name])
            print(name, found[name], flush=True)
    measured = options.speed or "speed" not in document
    speed_rows = speed(TASKS) if measured else document["speed"]
    save_results(
        "prototypes",
        {
            "seeds": list(SEEDS),
            "images": [IMAGES, MANY_IMAGES],
            "families": found,
            "few": document.get("few", {}),
            "speed": speed_rows,
        },
    )
    draw({"families": found, "speed": speed_rows})


def family(name: str, count: int) -> dict[str, Any]:
    """Share of test images whose task is found, by size of the features and images a decision."""
    kind = name.partition("@")[0]
    dataset, sizes = load(kind.split("-", 1)[1]), SIZES
    rows = []
    for seed in SEEDS:
        tasks = [make_task(recipe, dataset) for recipe in task_family(kind, count, seed)]
        for size in sizes:
            rows.append({"seed": seed, "size": size, **prototypes(tasks, size, seed)})
    shares = {
        str(size): {
            str(batch): summary([row["found"][str(batch)] for row in rows if row["size"] == size])
            for batch in BATCHES
        }
        for size in sizes
    }
    result: dict[str, Any] = {"tasks": count, "task_found": shares, "runs": rows}
    if name.startswith("split"):
        result["exhaustive"] = summary([exhaustive(name, count, seed) for seed in SEEDS])
    return result


def few(name: str) -> dict[str, dict[str, dict[str, float]]]:
    """Training images of a task → size of the features → share of single test images whose task
    is found."""
    dataset = load(name.split("-", 1)[1])
    shares: dict[tuple[int, int], list[float]] = {}
    for seed in SEEDS:
        tasks = [make_task(recipe, dataset) for recipe in task_family(name, 5, seed)]
        for images in FEW:
            for size in SIZES[1:]:
                row = prototypes(tasks, size, seed, images)["found"]["1"]
                shares.setdefault((images, size), []).append(row)
    return {
        str(images): {str(size): summary(shares[images, size]) for size in SIZES[1:]}
        for images in FEW
    }


def statistics(
    task: Task, at: int, chosen: Tensor, features: Features
) -> tuple[ClassMeans, PooledCovariance]:
    """Of the chosen training images."""
    batches = (task.train_batch(part) for part in chosen.split(2048))
    means, steps = measure(
        ((features(x), y.numpy()) for x, y in batches),
        classes=task.classes,
        size=features.recipe.size,
        task=task.name,
    )
    return means, PooledCovariance(total=steps, tasks=frozenset({at}))


def model_of(
    tasks: Sequence[Task], features: Features, chosen: Sequence[Tensor] | None = None
) -> PrototypeModel:
    """The discriminant of tasks, by the chosen training images of each, or by all."""
    if chosen is None:
        chosen = [torch.arange(task.train_size, device=task.device) for task in tasks]
    means, total = [], PooledCovariance.empty(features.recipe.size)
    for at, (task, images) in enumerate(zip(tasks, chosen, strict=True)):
        own, covariance = statistics(task, at, images, features)
        means.append(own)
        total = total.joined(covariance)
    return PrototypeModel(means, total)


def prototypes(
    tasks: Sequence[Task], size: int, seed: int, images: int | None = None
) -> dict[str, Any]:
    """Measure the tasks, on so many training images each where it is said, and ask for those of
    all test images."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed))
    features = Features(FeatureRecipe(size=size, seed=seed), backbone)
    usual = IMAGES if len(tasks) <= 5 else MANY_IMAGES
    draws = [torch.Generator().manual_seed(seed) for _ in tasks]
    chosen = [
        torch.randperm(task.train_size, generator=draw)[: images or usual]
        for task, draw in zip(tasks, draws, strict=True)
    ]
    model = model_of(tasks, features, chosen)
    right = {batch: [0, 0] for batch in BATCHES}
    labels = [0, 0]
    for at, task in enumerate(tasks):
        # Spread over the whole set: MNIST's first test images are by other writers than its last.
        every = 1 if usual == IMAGES else 40 if len(tasks) > 100 else 10_000 // usual
        scores = [(features(x[::every]), y[::every]) for x, y in task.test_batches(1000)]
        values = np.concatenate([model.task_scores(each) for each, _ in scores])
        if len(tasks) <= 5:  # class and task at once, where no label is shared
            best = np.concatenate([model.class_scores(each).argmax(1) for each, _ in scores])
            truth = model.starts[at] + torch.cat([y for _, y in scores]).numpy()
            labels[0] += int((best == truth).sum())
            labels[1] += len(truth)
        order = np.random.default_rng(seed).permutation(len(values))
        for batch in BATCHES:
            whole = len(order) // batch * batch
            sums = values[order[:whole]].reshape(-1, batch, len(tasks)).sum(1)
            right[batch][0] += int((sums.argmax(1) == at).sum())
            right[batch][1] += len(sums)
    found: dict[str, Any] = {"found": {str(b): hits / n for b, (hits, n) in right.items()}}
    if labels[1]:
        found["class_without_masks"] = labels[0] / labels[1]
    return found


def exhaustive(name: str, count: int, seed: int) -> float:
    """Share of single test images whose task every mask, tried one by one, tells."""
    import tempfile
    from pathlib import Path

    dataset = load(name.split("-", 1)[1])
    tasks = [make_task(recipe, dataset) for recipe in task_family(name, count, seed)]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with create_archive(path, backbone) as archive:
            for _ in iter_train_into(
                archive, backbone, tasks, TrainConfig(steps=400, seed=seed), codec="fast"
            ):
                pass
        with MaskArchive.open(path) as archive:
            bank = bank_of(archive, backbone)
            right = seen = 0
            for at, task in enumerate(tasks):
                for x, _ in task.test_batches(2048):
                    right += int((infer_in(bank, x, method="exhaustive").tasks == at).sum())
                    seen += len(x)
    return right / seen


def speed(counts: Sequence[int]) -> list[dict[str, Any]]:
    """CPU milliseconds an image to find its task among so many two-way tasks, in batches of 128;
    with what tells unknown data, too; and of trying every one of so many masks."""
    size, rng, rows = FeatureRecipe().size, np.random.default_rng(0), []
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10))
    features = Features(FeatureRecipe(), backbone)
    x = torch.from_numpy(rng.standard_normal((ASKED, 784)).astype(np.float32))
    steps = np.zeros((size, size), np.int64)
    np.fill_diagonal(steps, 1024)
    total = PooledCovariance(total=steps[np.triu_indices(size)], tasks=frozenset({1}))
    for count in counts:
        means = rng.standard_normal((count, 2, size)).astype(np.float32)
        ones = np.ones(2, np.int64)
        model = PrototypeModel([ClassMeans(means=each, counts=ones) for each in means], total)

        def with_known(model: PrototypeModel = model) -> None:
            values = features(x)
            model.distances(values, model.task_scores(values).argmax(1))

        rows.append(
            {
                "tasks": count,
                "ms_an_image": cpu_ms(lambda model=model: model.task_scores(features(x))),
                "ms_with_known": cpu_ms(with_known),
                "ms_every_mask": cpu_ms(every_mask(backbone, count, x), 1)
                if count <= MASKS_TRIED
                else None,
                "model_bytes": model.weights.nbytes + model.bias.nbytes,
                "stored_bytes_a_task": 2 * (size + 8),
            }
        )
        print(rows[-1], flush=True)
    return rows


def cpu_ms(call: Callable[[], object], times: int = 15) -> float:
    """CPU time of a call for each image asked for, the median: what else runs is not in it."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        call()
        taken.append(1000 * (time.process_time() - start) / ASKED)
    return float(np.median(taken))


def every_mask(backbone: Backbone, count: int, x: torch.Tensor) -> Callable[[], object]:
    """Trying each of so many random masks."""
    bits = np.random.default_rng(1).integers(
        0, 256, (count, backbone.layout.packed_bytes), dtype=np.uint8
    )
    packed = PackedMasks(
        layout=backbone.layout, names=tuple(f"task/{at}" for at in range(count)), bits=bits
    )
    bank = MaskBank(backbone, packed, classes=2)
    return lambda: infer_in(bank, x, method="exhaustive")


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over the seeds."""
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}


def draw(document: dict[str, Any]) -> None:
    """Task found by images a decision, a panel a family."""
    with picture("prototypes", (9.0, 2.6)) as figure:
        panels = figure.subplots(1, len(document["families"]), squeeze=False, sharey=True)[0]
        for axes, (name, found) in zip(panels, document["families"].items(), strict=True):
            for size, shares in found["task_found"].items():
                axes.plot(
                    [int(batch) for batch in shares],
                    [each["mean"] for each in shares.values()],
                    marker="o",
                    markersize=3,
                    label=f"{size} features",
                )
            axes.set(xscale="log", xlabel="images a decision", title=name, ylim=(0, 1.02))
        in_percent(panels[0].yaxis, "task found")
        panels[0].legend(loc="lower right")


if __name__ == "__main__":
    main()
