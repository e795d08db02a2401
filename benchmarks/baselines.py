"""The paper's baselines and their peers beside SupSup: Split-, Permuted- and RotatedMNIST.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.baselines \\
        --families split-mnist --methods wsn packnet --seeds 0 2 3

LeNet-300-100. Every method sees the same images; its settings are the best of a small grid on
tasks of the same family and another seed, tried on the last 10,000 training images, which
those trainings do not see. Every training is kept under ``.cache/baselines`` with its settings, so
the study can be run in pieces; what was published before stays where it is not run again.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import product
from statistics import fmean, pstdev
from typing import Any

from benchmarks.baselines_settings import GRIDS, RECIPE, VARIANTS, Setting, trial_tasks
from benchmarks.held_out import validation_split
from benchmarks.results import picture, save_results, saved_results, study_cache
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, TrainingDiverged, build
from supsup.archives import create_archive, train_into
from supsup.baselines import Baseline, evaluate_baseline
from supsup.datasets import ImageSet, load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import MaskBank
from supsup.plots import GRID, curve_styles, in_percent, plot_curve
from supsup.tasks import Task, make_task, task_family

CACHE = study_cache("baselines")
Figures = dict[str, Any]

STEPS = {"split-mnist": 200, "permuted-mnist": 500, "rotated-mnist": 100}
"""Of each task; batches of 128 images."""

COUNTS = {
    "split-mnist": (5,),
    "permuted-mnist": (5, 10, 15, 20),
    "rotated-mnist": (6, 12, 24, 36),
}
"""After how many tasks all tasks so far are evaluated."""

HELD_OUT = 1
"""Seed of the tasks that settings are chosen on; those of the study have other seeds."""

SEEDS = (0, 2, 3)

SUPSUP_RECIPE = BackboneRecipe(net="lenet-300-100", outputs=100)
"""More outputs than classes are what the task is found by."""


@cache
def digits() -> ImageSet:
    """The full MNIST."""
    return load("mnist", quiet=True)


def tasks_of(family: str, count: int, seed: int = 0) -> list[Task]:
    """The first tasks of a family, with every fifth test image; those held out without any."""
    recipes = task_family(family, count, seed)
    if seed == HELD_OUT:
        return [make_task(recipe, validation_split(digits())) for recipe in recipes]
    made = [make_task(recipe, digits()) for recipe in recipes]
    return [replace(t, test_images=t.test_images[::5], test_y=t.test_y[::5]) for t in made]


def run(name: str, setting: Setting, family: str, seed: int, counts: tuple[int, ...]) -> Figures:
    """Learn tasks one after another; after some of them, accuracy on all so far, and bytes.

    Nothing but the setting, and why, where a training diverges.
    """
    baseline = setting.make(name, STEPS[family], counts[-1], seed)
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
        "gnu": _not_told(baseline, tasks) if family == "split-mnist" else {},
    }


def _not_told(baseline: Baseline, tasks: Sequence[Task]) -> Figures:
    """Accuracy by single images, the task found by each method that needs no gradient."""
    methods = [method for method in baseline.methods if method != "one-shot"]
    return {
        method: evaluate_baseline(baseline, tasks, 1000, scenario=GNU, method=method).accuracy
        for method in methods
    }


def measured(
    key: str, name: str, setting: Setting, family: str, seed: int, counts: tuple[int, ...]
) -> Figures:
    """A method's figures after so many tasks, or what they were before for the same arguments."""
    asked = {
        "method": name,
        "setting": asdict(setting),
        "family": family,
        "steps": STEPS[family],
        "seed": seed,
        "counts": counts,
    }
    work = partial(supsup, key) if name == "supsup" else partial(run, name)
    found: Figures = CACHE.cached(key, asked, lambda: work(setting, family, seed, counts))
    return found


def best_of(family: str, name: str) -> tuple[Setting, list[Figures]]:
    """The setting with the highest accuracy on the held-out tasks, and what all of them gave."""
    count = trial_tasks(family, name)
    asked = [{**asdict(setting), "tasks": count} for setting in GRIDS[name]]
    trials = saved_results("baselines").get("trials", {}).get(family, {}).get(name, [])
    if [{key: trial.get(key) for key in asked[0]} for trial in trials] != asked:
        trials = [
            {**each, "accuracy": _tried(f"{at}", name, setting, family, count)}
            for at, (each, setting) in enumerate(zip(asked, GRIDS[name], strict=True))
        ]
    scores = [trial["accuracy"] for trial in trials]
    return GRIDS[name][scores.index(max(scores))], trials


def _tried(key: str, name: str, setting: Setting, family: str, count: int) -> float:
    """Accuracy on all held-out tasks after the last of them; 0 where a training diverges."""
    found = measured(f"trial-{family}-{name}-{key}", name, setting, family, HELD_OUT, (count,))
    return float(found["rows"][-1]["accuracy"]) if "rows" in found else 0.0


def supsup(key: str, setting: Setting, family: str, seed: int, counts: tuple[int, ...]) -> Figures:
    """Masks of as many steps: accuracy with the task given and found, bytes of the whole file."""
    steps = STEPS[family]
    config = TrainConfig(steps=steps, optimizer=setting.optimizer, lr=setting.lr, seed=seed)
    path = CACHE.path(f"{key}-{setting.optimizer}-{setting.lr:g}-{steps}.h5")
    tasks = tasks_of(family, counts[-1], seed)
    start = time.process_time()
    backbone = build(replace(SUPSUP_RECIPE, seed=seed))
    new = not path.exists()
    with create_archive(path, backbone, config) if new else MaskArchive.open(path, "a") as archive:
        left = [task for task in tasks if task.name not in archive]
        train_into(archive, backbone, left, config, parallel=1)
        seconds = time.process_time() - start
        bank = MaskBank(backbone, archive.packed(), classes=10)
        metrics = [float(task.metadata["metrics"]["accuracy"]) for task in archive]
        size = archive.file_bytes
    mode = "batch" if family == "rotated-mnist" else "image"
    found = evaluate_inferred(GNU, bank, tasks, mode=mode, batch=128, batches=1)
    return {
        "setting": asdict(setting),
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


def plot(families: Mapping[str, Mapping[str, Any]]) -> None:
    """Accuracy against the number of tasks learnt, and against bytes a task at the end."""
    names = [*GRIDS, *VARIANTS]
    styles = curve_styles(names)
    families = {name: methods for name, methods in families.items() if name != "split-mnist"}
    with picture("baselines", GRID) as figure:
        panels = figure.subplots(2, 2)
        for (curve, cost), (family, methods) in zip(panels, families.items(), strict=True):
            for name in filter(methods.__contains__, names):
                style = styles[name]
                rows = methods[name]["rows"]
                label = "SupSup (GG)" if name == "supsup" else name
                counts = [row["tasks"] for row in rows]
                means = [row["accuracy"] for row in rows]
                spread = [row.get("deviation", 0.0) for row in rows]
                plot_curve(curve, counts, means, spread, label=label, style=style)
                last = rows[-1]
                each = methods[name]["bytes"] / last["tasks"]
                cost.plot([each], [last["accuracy"]], **style)
            curve.set(title=family, xlabel="tasks learnt")
            in_percent(curve.yaxis, "accuracy on all of them")
            cost.set(xscale="log", xlabel=f"bytes a task, {last['tasks']} tasks")
            cost.set_title(family)
            in_percent(cost.yaxis, "accuracy on all of them")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)


def joined(runs: Mapping[str, Figures]) -> Figures:
    """The first seed's figures, with accuracies as means over seeds and their deviations."""
    first = next(iter(runs.values()))
    rows = []
    for at, row in enumerate(first["rows"]):
        found = [run["rows"][at]["accuracy"] for run in runs.values()]
        rows.append({**row, "accuracy": fmean(found), "deviation": pstdev(found)})
    return {**first, "seeds": [*map(int, runs)], "rows": rows, "by_seed": runs}


def main() -> None:
    """What is asked for, seed after seed, beside what was published before."""
    names = [*GRIDS, *VARIANTS]
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="*", default=[*COUNTS], choices=[*COUNTS])
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    wanted = parser.parse_args()
    published = saved_results("baselines")
    figures: Figures = {"steps": STEPS, "net": RECIPE.net}
    trials = figures["trials"] = published.get("trials", {})
    families = figures["families"] = published.get("families", {})
    for seed, family, method in product(wanted.seeds, wanted.families, wanted.methods):
        name = VARIANTS.get(method, (method,))[0]
        setting, trials.setdefault(family, {})[name] = best_of(family, name)
        key = f"{family}-{method}-{seed}"
        found = measured(key, method, setting, family, seed, COUNTS[family])
        print("done", family, method, seed, found.get("rows"), flush=True)
        methods = families.setdefault(family, {})
        before = methods.get(method, {}).get("by_seed", {})
        methods[method] = joined({**before, str(seed): found})
        save_results("baselines", figures, quiet=True)
    plot(families)


if __name__ == "__main__":
    main()
