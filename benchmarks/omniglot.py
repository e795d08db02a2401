"""Omniglot-Rotation: characters under four rotations, in tasks of twelve, fifteen drawers to learn.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.omniglot --tasks 20 --seeds 0

242 characters of the two small background sets, each turned by 0, 90, 180 and 270 degrees, are 968
classes; dealt at random they make 80 tasks of 12. Pictures are 28 × 28, of 20 drawers: the first 15
in a seeded order to learn from, 5 to test on. Settings are chosen on twelve tasks of another seed,
trained on 12 of the 15 and tried on the other 3. Kept under ``.cache``, method by method: the
same command goes on, and with more ``--tasks`` begins what is not there.
"""

import argparse
import io
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image, ImageOps
from torch import Tensor, nn

from benchmarks.results import picture, save_results, saved_results, study_cache
from maskstore import MaskArchive
from maskstore.seeded.streams import permutation
from supsup import Backbone, TensorTask, TrainConfig
from supsup.archives import create_archive, train_into
from supsup.baselines import BASELINES, BaselineConfig, LowerBound, evaluate_baseline
from supsup.plots import curve_styles, in_percent

CACHE = study_cache("omniglot")
WAYS, DRAWERS, LEARNT, SIDE = 12, 20, 15, 28
STEPS, BATCH, HELD_OUT, TRIAL_TASKS = 100, 60, 1, 12
FILES = ("images_background_small1.zip", "images_background_small2.zip")
Figures = dict[str, Any]

GRIDS: dict[str, list[dict[str, Any]]] = {
    "supsup": [
        {"rule": "threshold", "lr": 3e-3},
        {"rule": "threshold", "lr": 1e-2},
        {"rule": "topk", "density": 0.5, "lr": 1e-2},
    ],
    "supsup, sparse": [
        {"lr": lr, "density": density, "steps": steps, "transfer": transfer}
        for density, lr, steps, transfer in (
            (0.05, 3e-4, 200, "none"),
            (0.05, 3e-4, 200, "scores"),
            (0.05, 3e-4, 200, "masks"),
            (0.05, 2e-4, 400, "none"),
            (0.05, 3e-4, 400, "none"),
            (0.05, 3e-4, 400, "scores"),
            (0.07, 2e-4, 400, "scores"),
        )
    ],
    "wsn": [
        {"lr": 1e-3, "density": 0.1},
        {"lr": 1e-3, "density": 0.3},
        {"lr": 3e-3},
        {"lr": 3e-3, "steps": 400},
    ],
    "packnet": [{"lr": 1e-3}, {"lr": 3e-3}],
    "separate-heads": [{"lr": 1e-3, "head_lr": 3e-3}, {"lr": 1e-3, "head_lr": 1e-2}],
    "upper-bound": [{"lr": 1e-3}, {"lr": 3e-3}],
    "joint": [{"lr": 1e-3}],
}
"""By Adam, but for sparse masks; of masks with a cosine to 0, of the others at one rate."""

SPARSE = {"rule": "gradual", "budget": "erdos-renyi", "optimizer": "normed-sgd"}
"""How masks become sparse, beside their settings."""

SAME = {"supsup, transfer": ("supsup", {"transfer": "scores"})}
"""Methods that are run with the settings of another."""


class ConvNet(nn.Module):
    """Two convolutions and a hidden layer, as LeNet-5 has them, wider; without biases."""

    def __init__(self, outputs: int = WAYS) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, bias=False)
        self.conv2 = nn.Conv2d(16, 32, 5, bias=False)
        self.fc1 = nn.Linear(32 * 4 * 4, 256, bias=False)
        self.fc2 = nn.Linear(256, outputs, bias=False)

    def forward(self, x: Float32[Tensor, "image 1 28 28"]) -> Float32[Tensor, "image outputs"]:
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


@cache
def alphabets() -> dict[str, Float32[np.ndarray, "character drawer 28 28"]]:
    """All characters of both sets once by alphabet, ink 1 on 0, in the order of their names."""
    folder = Path(os.environ["SUPSUP_DATA"], "omniglot")
    found: dict[str, dict[str, np.ndarray]] = {}
    for file in FILES:
        with zipfile.ZipFile(folder / file) as pictures:
            for name in sorted(n for n in pictures.namelist() if n.endswith(".png")):
                _, alphabet, character, drawing = name.split("/")
                with Image.open(io.BytesIO(pictures.read(name))) as drawn:
                    ink = ImageOps.invert(drawn.convert("L")).resize((SIDE, SIDE), Image.BOX)
                of = found.setdefault(f"{alphabet}/{character}", {})
                of[drawing] = np.asarray(ink, np.float32) / 255
    by_alphabet: dict[str, list[np.ndarray]] = {}
    for name, each in sorted(found.items()):
        by_alphabet.setdefault(name.split("/")[0], []).append(np.stack(list(each.values())))
    return {alphabet: np.stack(each) for alphabet, each in by_alphabet.items()}


def characters() -> Float32[np.ndarray, "character drawer 28 28"]:
    """Of all alphabets."""
    return np.concatenate(list(alphabets().values()))


def tasks_of(count: int, seed: int, learnt: int = LEARNT, of: int = DRAWERS) -> list[TensorTask]:
    """The first tasks of a seed; of the first ``of`` drawers, ``learnt`` are trained on."""
    images = characters()
    drawers = permutation(seed, "omniglot/drawers", DRAWERS)
    dealt = permutation(seed, "omniglot/classes", 4 * len(images))

    def task(number: int) -> TensorTask:
        parts = []
        for who in (drawers[:learnt], drawers[learnt:of]):
            classes = dealt[number * WAYS : (number + 1) * WAYS]
            x = [np.rot90(images[at // 4, who], at % 4, axes=(1, 2)) for at in classes.tolist()]
            y = np.repeat(np.arange(WAYS), len(who))
            parts.append((np.concatenate(x)[:, None], y))
        return TensorTask(f"omniglot/{number}", train=parts[0], test=parts[1], classes=WAYS)

    return [task(number) for number in range(count)]


def network(
    seed: int, init: str = "kaiming-normal", outputs: int = WAYS, **scale: float
) -> Backbone:
    """The net with weights of a seed; ``scale``: ``fan_density``, for inits that are scaled."""
    return Backbone.from_module(ConvNet(outputs), seed=seed, init=init, **scale)


def supsup(
    setting: Mapping[str, Any], tasks: Sequence[TensorTask], seed: int, path: Path
) -> Figures:
    """A mask for each task, in an archive that goes on where it stopped."""
    sparse = "rule" not in setting
    more = SPARSE if sparse else {"optimizer": "adam"}
    config = TrainConfig(**{"steps": STEPS, "batch": BATCH, "seed": seed, **more, **setting})
    if sparse:
        net = network(seed, "scaled-signed-constant", fan_density=setting["density"])
    else:
        net = network(seed, "signed-constant")
    with MaskArchive.open(path, "a") if path.exists() else create_archive(path, net) as archive:
        left = [task for task in tasks if task.name not in archive]
        train_into(archive, net, left, config, parallel=1)
        stored = [archive.tasks[task.name] for task in tasks]
        size = archive.file_bytes
    accuracies = [float(task.metadata["metrics"]["accuracy"]) for task in stored]
    return {"per_task": accuracies, "bytes": size}


def joint(setting: Mapping[str, Any], tasks: Sequence[TensorTask], seed: int) -> Figures:
    """One network for all tasks, their images mixed; each image judged among its task's classes."""
    parts = []
    for part in ("_train", "_test"):
        pairs = [getattr(task, part) for task in tasks]
        x = torch.cat([images for images, _ in pairs])
        y = torch.cat([labels + at * WAYS for at, (_, labels) in enumerate(pairs)])
        parts.append((x, y))
    whole = TensorTask("joint", train=parts[0], test=parts[1], classes=WAYS * len(tasks))
    steps = STEPS * len(tasks)
    learner = LowerBound(network(seed), _config({**setting, "steps": steps}, seed))
    learner.learn(whole)
    accuracies = []
    for at, task in enumerate(tasks):
        x, y = next(iter(task.test_batches(DRAWERS * WAYS)))
        own = learner.outputs("joint", x)[:, at * WAYS : (at + 1) * WAYS]
        accuracies.append(float((own.argmax(1) == y).float().mean()))
    return {"per_task": accuracies, "bytes": learner.bytes()}


def baseline(
    name: str, setting: Mapping[str, Any], tasks: Sequence[TensorTask], seed: int
) -> Figures:
    """A learner of :data:`supsup.baselines.BASELINES` after all tasks."""
    own = {key: setting[key] for key in ("lr", "steps") if key in setting}
    options = {key: value for key, value in setting.items() if key not in own}
    if name == "packnet":
        options["share"] = 1 / len(tasks)
    learner = BASELINES[name](network(seed), _config(own, seed), **options)
    for task in tasks:
        learner.learn(task)
    found = evaluate_baseline(learner, tasks)
    return {"per_task": [row.accuracy for row in found.per_task], "bytes": learner.bytes()}


def _config(fields: Mapping[str, Any], seed: int) -> BaselineConfig:
    return BaselineConfig(**{"steps": STEPS, "batch": BATCH, "seed": seed, **fields})


def run(method: str, setting: Mapping[str, Any], count: int, seed: int, trial: bool) -> Figures:
    """Learn the tasks of a seed; accuracy on each at the end, bytes and CPU seconds of all."""
    split = {"learnt": LEARNT - 3, "of": LEARNT} if trial else {}
    tasks = tasks_of(count, seed, **split)
    start = time.process_time()
    if method.startswith("supsup"):
        kept = "-".join(f"{value}" for value in setting.values())
        path = CACHE.path(f"{method.replace(', ', '-')}-{seed}-{kept}-{count}.h5")
        found = supsup(setting, tasks, seed, path)
    elif method == "joint":
        found = joint(setting, tasks, seed)
    else:
        found = baseline(method, setting, tasks, seed)
    return {
        "accuracy": fmean(found["per_task"]),
        "bits_a_weight_a_task": 8 * found["bytes"] / count / network(seed).layout.bits,
        "cpu_seconds": round(time.process_time() - start, 1),
        **found,
    }


def measured(method: str, setting: Mapping[str, Any], count: int, seed: int) -> Figures:
    """What :func:`run` gives, once for the same arguments; trials are those of seed 1."""
    asked = {"setting": setting, "tasks": count, "steps": STEPS, "batch": BATCH}
    label = "-".join(f"{key}-{value}" for key, value in setting.items())
    make = partial(run, method, setting, count, seed, seed == HELD_OUT)
    found: Figures = CACHE.cached(f"{method}-{seed}-{count}-{label}", asked, make)
    return found


def best_of(method: str) -> tuple[dict[str, Any], list[Figures]]:
    """The setting that did best on the tasks held out, and all that were tried."""
    grid = GRIDS[method]
    if len(grid) == 1:
        return grid[0], []
    tried = [measured(method, setting, TRIAL_TASKS, HELD_OUT)["accuracy"] for setting in grid]
    rows = [
        {"setting": setting, "accuracy": found} for setting, found in zip(grid, tried, strict=True)
    ]
    return grid[tried.index(max(tried))], rows


def draw(document: Figures) -> None:
    """Accuracy against bits a weight a task, for the number of tasks that most methods have run."""
    counts = [row["tasks"] for row in document["rows"]]
    rows = [row for row in document["rows"] if row["tasks"] == max(counts, key=counts.count)]
    with picture("omniglot") as figure:
        axes = figure.subplots()
        styles = curve_styles([row["method"] for row in rows])
        for row in rows:
            style = styles[row["method"]]
            axes.plot(
                [row["bits_a_weight_a_task"]], [row["accuracy"]], label=row["method"], **style
            )
        axes.set(xscale="log", xlabel="bits a weight a task")
        in_percent(axes.yaxis, "accuracy")
        axes.legend()


def main() -> None:
    """What is asked for; the figures are written after every method."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*GRIDS, *SAME]
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--tasks", type=int, default=80)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    wanted = parser.parse_args()
    settings = {"steps": STEPS, "batch": BATCH, "weights": network(0).layout.bits}
    rows = {(row["method"], row["tasks"]): row for row in saved_results("omniglot").get("rows", [])}
    trials = saved_results("omniglot").get("trials", {})
    for seed, method in product(wanted.seeds, wanted.methods):
        name, more = SAME.get(method, (method, {}))
        setting, trials[name] = best_of(name)
        found = measured(method, {**setting, **more}, wanted.tasks, seed)
        row = rows.setdefault((method, wanted.tasks), {"by_seed": {}})
        row["by_seed"][str(seed)] = found
        each = [one["accuracy"] for one in row["by_seed"].values()]
        rows[method, wanted.tasks] = {
            "method": method,
            "tasks": wanted.tasks,
            "setting": {**setting, **more},
            "accuracy": fmean(each),
            "deviation": pstdev(each),
            "bits_a_weight_a_task": found["bits_a_weight_a_task"],
            "by_seed": row["by_seed"],
        }
        print(method, seed, found["accuracy"], found["cpu_seconds"], flush=True)
        document = {**settings, "trials": trials, "rows": list(rows.values())}
        command = "python -m benchmarks.omniglot --tasks N"
        save_results("omniglot", document, command, quiet=True)
    draw({"rows": list(rows.values())})


if __name__ == "__main__":
    main()
