"""Scenario NNs on PermutedMNIST: a stream whose tasks nobody names, and the same with names.

Each part takes minutes and is kept under ``.cache/nns``; ``--parts`` runs some of them.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.results import picture, save_results, saved_results, study_cache
from maskstore import MaskArchive
from supsup import Backbone, BackboneRecipe, TrainConfig, build, train
from supsup.archives import create_archive
from supsup.datasets import load
from supsup.evaluation import GNS, GNU, NNS, evaluate_inferred
from supsup.inference import Entropy, MaskBank, Superfluous
from supsup.inference.query import Query
from supsup.inference.superposition import gradients
from supsup.plots import OURS, ROW, WARM
from supsup.task_free import (
    Learner,
    StreamBatch,
    Uniform,
    learn_into,
    parse_allocation,
    task_stream,
)
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import Subset, subset

CACHE = study_cache("nns")
TASKS, VISITS, LEAST, MOST, STEPS = 50, 2, 80, 160, 200
FEW = 12
RULED, RULED_STEPS, SEEDS = {"permuted-mnist": 6, "split-mnist": 5}, 100, (11, 12, 13)
IMAGES = 50


def shortened(tasks: Iterable[Any]) -> list[Subset]:
    """The tasks with the first images of their test sets only."""
    return [subset(task, torch.arange(IMAGES)) for task in tasks]


def with_outliers(stream: Iterable[StreamBatch], every: int, seed: int = 0) -> Iterator[Any]:
    """About every so many batches one or two in a row of noise, or of real images with labels of
    others."""
    rng = np.random.default_rng(seed)
    for batch in stream:
        if rng.random() < 1 / every:
            for _ in range(rng.integers(1, 3)):
                images, labels = torch.randn_like(batch.images), batch.labels
                if rng.random() < 0.5:
                    images, labels = batch.images, labels[torch.randperm(len(labels))]
                yield StreamBatch(images=images, labels=labels)
        yield batch


def streams(part: str, tasks: list[Any]) -> tuple[Iterable[StreamBatch], dict[str, Any], int]:
    """The stream of a part, the learner's options, and the number of tasks."""
    full = {"visits": VISITS, "least": LEAST, "most": MOST}
    if part == "level":
        return with_outliers(task_stream(tasks, **full), 100), {}, len(tasks)
    few = tasks[:FEW]
    options: dict[str, dict[str, Any]] = {
        "few": {},
        "budget": {"budget": FEW * 3 // 4},
        "uniform-1.125": {"allocation": Uniform(floor=1)},
        "uniform-1.6": {"allocation": Uniform(ratio=1.6, floor=1)},
    }
    return task_stream(few, **full), options[part], FEW


def run(part: str, backbone: Backbone, tasks: list[Any]) -> dict[str, Any]:
    """Learn one stream, and what came of it."""
    stream, options, count = streams(part, tasks)
    learner = Learner(backbone, TrainConfig(steps=STEPS), classes=10, **options)
    path = CACHE.path(f"{part}.h5")
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    with create_archive(path, backbone) as archive:
        for stored in learn_into(archive, learner, stream, codec="fast"):
            print(f"{time.perf_counter() - start:6.0f} s {stored.name}", flush=True)
        rows = [stored.metadata["sources"] for stored in archive]
        bank = MaskBank(backbone, archive.packed(), classes=10)
    seconds = time.perf_counter() - start
    owners = [row[0]["name"] if row else None for row in rows]
    visited = sum(each["batches"] for row in rows for each in row)
    astray = sum(each["batches"] for row in rows for each in row[1:])
    found = {
        "tasks": count,
        **learner.report.to_json(),
        "distinct_owners": len(set(owners)),
        "false_allocations": len(owners) - len(set(owners)),
        "tasks_without_a_mask": count - len(set(owners)),
        "batches_astray": astray,
        "batches_given": visited,
        "seconds": seconds,
    }
    shown = shortened(tasks[:count])
    for mode in ("image", "batch"):
        score = evaluate_inferred(NNS, bank, shown, owners, mode=mode, batch=IMAGES)
        found[mode] = [score.accuracy, score.task_accuracy]
    found["accuracy_by_task"] = [row.accuracy for row in score.per_task]
    return found


def rules(data: Any) -> list[dict[str, Any]]:
    """Streams of few tasks with outliers, far from each other and alike: every rule, three seeds.

    Level and prototypes with the default trainer, the paper's rule with the training of its code.
    """
    rows = []
    for family, count in RULED.items():
        for seed in SEEDS:
            tasks = [make_task(recipe, data) for recipe in task_family(family, count, seed)]
            backbone = build(BackboneRecipe(net="lenet-300-100", outputs=100, seed=seed))
            for rule, budget in (
                ("level", None),
                ("prototypes", None),
                ("prototypes", count - 2),
                ("uniform", None),
            ):
                way: dict[str, Any] = {"steps": RULED_STEPS, "seed": seed}
                if rule == "uniform":
                    way |= {"optimizer": "rmsprop", "lr": 1e-4, "schedule": "constant"}
                    way |= {"shared_scores": False}
                learner = Learner(
                    backbone,
                    TrainConfig(**way),
                    classes=tasks[0].classes,
                    allocation=parse_allocation(rule),
                    budget=budget,
                )
                stream = task_stream(tasks, visits=VISITS, least=40, most=80, seed=seed)
                given = {
                    mask.name: mask.metadata["sources"]
                    for mask in learner.learn(with_outliers(stream, 100, seed))
                }
                owners = {each[0]["name"] for each in given.values() if each}
                row = {"family": family, "tasks": count, "seed": seed, "rule": rule}
                row |= {"budget": budget, **learner.report.to_json(), "masks": len(given)}
                row["tasks_without_a_mask"] = count - len(owners)
                row["batches_astray"] = sum(
                    each["batches"] for all_ in given.values() for each in all_[1:]
                )
                rows.append(row)
                print(row, flush=True)
    return rows


def named(backbone: Backbone, tasks: list[Any]) -> dict[str, Any]:
    """The same tasks with their names in training (GNs, GNu), as many steps each."""
    path = CACHE.path("named.h5")
    if not path.exists():
        create_archive(path, backbone).close()
    with MaskArchive.open(path, "a") as archive:
        for task in tasks:
            if task.name not in archive:
                (mask,) = train(backbone, [task], TrainConfig(steps=STEPS))
                archive.add(mask.name, mask.masks, mask.metadata, codec="fast")
        bank = MaskBank(backbone, archive.packed(), classes=10)
    found: dict[str, Any] = {}
    shown = shortened(tasks)
    for mode in ("image", "batch"):
        for scenario in (GNS, GNU):
            score = evaluate_inferred(scenario, bank, shown, mode=mode, batch=IMAGES)
            found[f"{score.scenario} {mode}"] = [score.accuracy, score.task_accuracy]
    return found


def statistics(backbone: Backbone, tasks: list[Any]) -> list[dict[str, Any]]:
    """What a decision can look at, on batches of known and of new tasks, by number of masks."""
    with MaskArchive.open(CACHE.path("named.h5")) as archive:
        packed = archive.packed()
    rng, rows = np.random.default_rng(1), []
    for count in (1, 2, 4, 8, 16, 32, 49):
        part = packed.select(range(count))
        bank = MaskBank(backbone, part, classes=10)
        for known in (True, False):
            chosen = range(count) if known else range(count, len(tasks))
            for at in rng.choice(list(chosen), min(12, len(chosen)), replace=False):
                x, y = tasks[at].train_batch(torch.from_numpy(rng.integers(0, 60_000, 128)))
                row: dict[str, Any] = {"masks": count, "known": known}
                for objective in (Entropy(), Superfluous()):
                    slopes = gradients(Query(bank=bank, x=x, objective=objective, per_image=False))[
                        0
                    ]
                    best = int(slopes.argmin())
                    v = np.exp(slopes[best] - slopes)
                    others = np.delete(-slopes, best)
                    row[f"k_max_v {objective.name}"] = len(v) / float(v.sum())
                    if count > 3:
                        gap = (-slopes[best] - others.mean()) / others.std()
                        row[f"gap {objective.name}"] = float(gap)
                losses = [
                    float(
                        torch.nn.functional.cross_entropy(
                            backbone.logits(x, backbone.tensors(part.unpack(mask))), y
                        )
                    )
                    for mask in range(count)
                ]
                row["loss"] = min(losses)
                rows.append(row)
    return rows


def main() -> None:
    """Run the parts asked for; all that were run so far go into the results."""
    parser = argparse.ArgumentParser()
    kinds = ["level", "few", "budget", "uniform-1.125", "uniform-1.6"]
    kinds += ["named", "statistics", "rules"]
    parser.add_argument("--parts", nargs="*", default=kinds, choices=kinds)
    wanted = parser.parse_args().parts
    data = load("mnist")
    tasks = [make_task(recipe, data) for recipe in task_family("permuted-mnist", TASKS)]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=100))
    settings = {
        "tasks": [TASKS, FEW],
        "visits": [VISITS, LEAST, MOST],
        "steps": STEPS,
        "images": IMAGES,
        "network": backbone.recipe.to_json(),
    }
    for part in wanted:
        make: Any = {"named": named, "statistics": statistics}.get(part, partial(run, part))
        work = partial(rules, data) if part == "rules" else partial(make, backbone, tasks)
        done = CACHE.cached(part, settings, work)
        print(part, json.dumps(done)[:600], flush=True)
    found = {part: CACHE.found(part, settings) for part in kinds}
    before = saved_results("nns")  # what was run elsewhere stays
    figures = {part: before[part] for part in kinds if part in before}
    figures |= {part: done for part, done in found.items() if done is not None}
    save_results("nns", {"outputs": 100, "steps": STEPS, "images_a_task": IMAGES, **figures})
    if found["statistics"] is not None:
        plot(figures)


def plot(figures: dict[str, Any]) -> None:
    """The statistics by number of masks: known tasks beside new ones."""
    keys = ("k_max_v entropy", "gap superfluous", "loss")
    titles = ("k · max v, entropy (paper)", "gap in deviations, G", "loss of the best mask (level)")
    with picture("nns", ROW) as figure:
        for axes, key, title in zip(figure.subplots(1, 3), keys, titles, strict=True):
            for known, colour, label in ((True, OURS, "known"), (False, WARM, "new task")):
                rows = [r for r in figures["statistics"] if r["known"] == known and key in r]
                x = np.array([r["masks"] for r in rows]) * (0.95 if known else 1.05)
                axes.plot(x, [r[key] for r in rows], ".", color=colour, label=label, alpha=0.7)
            axes.set(xscale="log", yscale="log", xlabel="masks k", title=title)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.set_minor_formatter(NullFormatter())
        axes.legend()


if __name__ == "__main__":
    main()
