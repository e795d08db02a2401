"""The paper's baselines beside SupSup: PermutedMNIST and RotatedMNIST, LeNet-300-100.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.baselines

Every method sees the same images; its settings are the best of a small grid on ten tasks of *other*
permutations of the same digits, those for tests too. Every training is kept under
``.cache/baselines`` with its settings, so the study can be run in pieces. Archives that were made
before may be set beside:

    … python -m benchmarks.baselines .cache/inference/rmsprop-100.h5 \\
        .cache/inference/permuted-100.h5 .cache/inference/rmsprop-rotated.h5
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.results import picture, save_results, study_cache
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, TrainingDiverged, build
from supsup.archives import backbone_of, create_archive, train_into
from supsup.baselines import BASELINES, Baseline, BaselineConfig, evaluate_baseline
from supsup.datasets import ImageSet, load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.plots import GRID, curve_styles
from supsup.tasks import Task, make_task, task_family

CACHE = study_cache("baselines")
Figures = dict[str, Any]

RECIPE = BackboneRecipe(net="lenet-300-100", outputs=10, init="kaiming-normal")
STEPS = {"permuted-mnist": 500, "rotated-mnist": 100}
"""Of each task; batches of 128 images."""

COUNTS = {"permuted-mnist": (5, 10, 15, 20), "rotated-mnist": (6, 12, 24, 36)}
"""After how many tasks all tasks so far are evaluated."""

HELD_OUT = 1
"""Seed of the permutations that settings are chosen on; those of the study have seed 0."""

SUPSUP_RECIPE = BackboneRecipe(net="lenet-300-100", outputs=100)
"""More outputs than classes are what the task is found by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a method is run with: an optimizer, its rate, and options of the method's own."""

    lr: float
    optimizer: str = "adam"
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, name: str, steps: int) -> Baseline:
        """The method, having learnt nothing."""
        config = BaselineConfig(steps=steps, optimizer=self.optimizer, lr=self.lr)
        return BASELINES[name](build(RECIPE), config, **self.options)


def _grid(
    lrs: Sequence[float], optimizer: str = "adam", **options: Sequence[float]
) -> list[Setting]:
    return [
        Setting(lr=lr, optimizer=optimizer, options=dict(zip(options, values, strict=True)))
        for lr in lrs
        for values in product(*options.values())
    ]


GRIDS = {
    "upper-bound": _grid([3e-4, 1e-3, 3e-3]),
    "lower-bound": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2, 3e-2, 3e-3], "sgd"),
    "separate-heads": _grid([1e-3], head_lr=[3e-3, 1e-2, 3e-2]),
    "separate-heads-random": _grid([3e-3, 1e-2, 3e-2]),
    "batche": _grid([3e-4, 1e-3], vector_lr=[1e-2, 3e-2]) + _grid([1e-3], vector_lr=[1e-1]),
    "psp": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2], "sgd"),
    "psp-rotation": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2], "sgd"),
    "ewc": _grid([3e-4], strength=[0.3, 3.0, 30.0, 300.0, 3000.0], fisher_images=[100])
    + _grid([1e-3], strength=[3.0], fisher_images=[100])
    + _grid([1e-2], "sgd", strength=[1.0, 10.0, 0.3], fisher_images=[100]),
    "icarl": _grid([3e-4, 1e-3]),
}
"""By Adam, and where tasks move the same weights by SGD, too, which lets less be forgotten."""

EWC_AFTERWARDS = _grid([1e-2], "sgd", strength=[30.0, 300.0], fisher_images=[100])
"""Tried on the reported tasks of RotatedMNIST themselves, as what was chosen did badly there."""

TRIAL = dict.fromkeys(GRIDS, 10) | dict.fromkeys(
    ("upper-bound", "separate-heads", "separate-heads-random", "batche"), 4
)
"""Tasks a trial has: fewer where tasks do not disturb those before them."""


@cache
def digits() -> ImageSet:
    """The full MNIST."""
    return load("mnist", quiet=True)


def tasks_of(family: str, count: int, seed: int = 0) -> list[Task]:
    """The first tasks of a family, with every fifth test image; those held out with all."""
    step = 1 if seed == HELD_OUT else 5
    made = [make_task(recipe, digits()) for recipe in task_family(family, count, seed)]
    return [replace(t, test_images=t.test_images[::step], test_y=t.test_y[::step]) for t in made]


def run(name: str, setting: Setting, family: str, seed: int, counts: tuple[int, ...]) -> Figures:
    """Learn tasks one after another; after some of them, accuracy on all so far, and bytes.

    Nothing but the setting, and why, where a training diverges.
    """
    baseline = setting.make(name, STEPS[family])
    tasks = tasks_of(family, counts[-1], seed)
    seconds, rows = 0.0, []
    for at, task in enumerate(tasks, start=1):
        start = time.process_time()
        try:
            baseline.learn(task)
        except TrainingDiverged as error:
            return {"setting": asdict(setting), "diverged": str(error)}
        seconds += time.process_time() - start
        if at in counts:
            found = evaluate_baseline(baseline, tasks[:at], batch=1000)
            rows.append({"tasks": at, "accuracy": found.accuracy})
    return {
        "setting": asdict(setting),
        "rows": rows,
        "bytes": baseline.bytes(),
        "cpu_seconds_a_task": round(seconds / len(tasks), 2),
        "per_task": [round(row.accuracy, 4) for row in found.per_task],
    }


def cached_run(
    key: str, name: str, setting: Setting, family: str, seed: int, counts: tuple[int, ...]
) -> Figures:
    """What :func:`run` gives, or gave before for the same arguments."""
    asked = {
        "method": name,
        "setting": asdict(setting),
        "family": family,
        "steps": STEPS[family],
        "seed": seed,
        "counts": counts,
    }
    found: Figures = CACHE.cached(key, asked, lambda: run(name, setting, family, seed, counts))
    return found


def best_of(name: str) -> tuple[Setting, list[dict[str, Any]]]:
    """The setting with the highest accuracy on the held-out tasks, and what all of them gave."""
    count = TRIAL[name]
    trials = [
        cached_run(f"trial-{name}-{at}", name, setting, "permuted-mnist", HELD_OUT, (count,))
        for at, setting in enumerate(GRIDS[name])
    ]
    scores = [trial["rows"][-1]["accuracy"] for trial in trials]
    return GRIDS[name][scores.index(max(scores))], [
        {**trial["setting"], "accuracy": score} for trial, score in zip(trials, scores, strict=True)
    ]


def supsup(family: str, config: TrainConfig, counts: Sequence[int]) -> Figures:
    """Masks of as many steps: accuracy with the task given and found, bytes of the whole file."""
    path = CACHE.path(f"supsup-{family}-{config.optimizer}-{config.lr}-{config.steps}.h5")
    tasks = tasks_of(family, counts[-1])
    start = time.process_time()
    backbone = build(SUPSUP_RECIPE)
    new = not path.exists()
    with create_archive(path, backbone, config) if new else MaskArchive.open(path, "a") as archive:
        left = [task for task in tasks if task.name not in archive]
        train_into(archive, backbone, left, config, parallel=1)
        seconds = time.process_time() - start
        bank = MaskBank(backbone, archive.packed(), classes=10)
        metrics = [float(task.metadata["metrics"]["accuracy"]) for task in archive]
        size = archive.file_bytes
    mode = "image" if family == "permuted-mnist" else "batch"
    found = evaluate_inferred(GNU, bank, tasks, mode=mode, batch=128, batches=1)
    return {
        "rows": [{"tasks": n, "accuracy": fmean(metrics[:n])} for n in counts],
        "bytes": size,
        "gnu": {
            "mode": mode,
            "method": found.method,
            "masks": len(bank.names),
            "accuracy": found.accuracy,
            "task_accuracy": found.task_accuracy,
        },
        "cpu_seconds_a_task": round(seconds / len(tasks), 2),
        "per_task": [round(accuracy, 4) for accuracy in metrics],
    }


def older(path: Path) -> dict[str, Any]:
    """Accuracy with the task given of an archive that was made before, from its metadata."""
    with MaskArchive.open(path) as archive:
        stored = list(archive)
        recipe = backbone_of(archive).recipe
    assert recipe
    training = stored[0].metadata["training"]
    counts = COUNTS[stored[0].name.partition("/")[0]]
    metrics = [float(task.metadata["metrics"]["accuracy"]) for task in stored]
    return {
        "archive": path.stem,
        "net": recipe.net,
        "outputs": recipe.outputs,
        "training": {key: training[key] for key in ("optimizer", "lr", "schedule", "steps")},
        "rows": [{"tasks": n, "accuracy": fmean(metrics[:n])} for n in counts],
    }


def plot(families: Mapping[str, Mapping[str, Any]]) -> None:
    """Accuracy against the number of tasks learnt, and against bytes a task at the end."""
    styles = curve_styles([*GRIDS, "supsup"])
    with picture("baselines", GRID) as figure:
        panels = figure.subplots(2, 2)
        for (curve, cost), (family, methods) in zip(panels, families.items(), strict=True):
            for name, style in styles.items():
                rows = methods[name]["rows"]
                label = "SupSup (GG)" if name == "supsup" else name
                counts = [row["tasks"] for row in rows]
                curve.plot(counts, [row["accuracy"] for row in rows], label=label, **style)
                last = rows[-1]
                each = methods[name]["bytes"] / last["tasks"]
                cost.plot([each], [last["accuracy"]], **style)
            curve.set(title=family, xlabel="tasks learnt", ylabel="accuracy on all of them")
            cost.set(xscale="log", xlabel=f"bytes a task, {last['tasks']} tasks")
            cost.set(title=family, ylabel="accuracy")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)


def main() -> None:
    """Settings, then both families; archives named on the command line are set beside."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archives", type=Path, nargs="*")
    arguments = parser.parse_args()
    chosen = {name: best_of(name) for name in GRIDS}
    families: dict[str, dict[str, Any]] = {}
    rotated = "rotated-mnist"
    for family, counts in COUNTS.items():
        methods = families[family] = {}
        # The best of Adam's rates in docs/results/mnist-training.md.
        config = TrainConfig(steps=STEPS[family], optimizer="adam", lr=3e-3)
        asked = {"outputs": SUPSUP_RECIPE.outputs, "config": asdict(config), "counts": counts}
        methods["supsup"] = CACHE.cached(
            f"{family}-supsup", asked, partial(supsup, family, config, counts)
        )
        for name, (setting, _) in chosen.items():
            methods[name] = cached_run(f"{family}-{name}", name, setting, family, 0, counts)
    figures = {
        "steps": STEPS,
        "net": RECIPE.net,
        "trials": {name: trials for name, (_, trials) in chosen.items()},
        "families": families,
        "ewc_afterwards": [
            cached_run(f"afterwards-ewc-{at}", "ewc", setting, rotated, 0, COUNTS[rotated])
            for at, setting in enumerate(EWC_AFTERWARDS)
        ],
        "older": [older(path) for path in arguments.archives],
    }
    save_results("baselines", figures)
    plot(families)


if __name__ == "__main__":
    main()
