"""Scenario NNs on up to 2,500 PermutedMNIST tasks, as many as the paper's largest experiment.

    python -m benchmarks.many_unnamed --folder figures --data DIR
    python -m benchmarks.many_unnamed --folder figures --data DIR --rule uniform
    python -m benchmarks.many_unnamed --folder figures --data DIR \\
        --rule uniform --tasks 100 --steps 1000 --lr 1e-4

A stream visits every task once and never says which it is, or that another begins; a rule has to
tell whether a batch is of a mask that is there: ``level``, ours, or ``uniform``, eq. 5 as the
paper's code runs it, where each mask has scores of its own. LeNet-300-100 with 500 outputs, RMSprop
at 3e-4, 200 batches a task: a fifth of the paper's, at three times its rate, which was chosen on
permutations of another seed. Learning, over half an hour on one core, goes on where it stopped; so
does what is measured for each number of tasks, which is asked as :mod:`benchmarks.many_tasks` asks
it.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.many_tasks import ASKED, RUNS, asked_of
from benchmarks.results import save_results, saved_results
from benchmarks.task_inference import sampled
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of, make_folder, open_or_create
from supsup.datasets import load
from supsup.evaluation import NNS, evaluate_inferred
from supsup.figures.base import counts_up_to
from supsup.figures.cache import Cache
from supsup.inference import MaskBank
from supsup.task_free import Learner, LearnerCheckpoint, learn_into, parse_allocation, task_stream
from supsup.tasks import Task, make_task, task_family

LR = 3e-4
RULES = "level", "uniform"


def learnt(path: Path, tasks: Sequence[Task], options: argparse.Namespace) -> None:
    """Learn the stream into an archive, at most as many masks as there are tasks; go on with what
    is there of it."""
    config = TrainConfig(
        steps=options.steps,
        optimizer="rmsprop",
        lr=options.lr,
        schedule="constant",
        shared_scores=options.rule != "uniform",
    )
    settings = {"tasks": [task.name for task in tasks], "rule": options.rule}
    checkpoint = LearnerCheckpoint(path, {**settings, "training": config.to_json()})
    make_folder(path.parent)
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=options.outputs, seed=0))
    with open_or_create(path, backbone) as archive:
        if len(archive) and not checkpoint.folder.exists():
            return  # learnt to the end
        learner = Learner(
            backbone,
            config,
            classes=tasks[0].classes,
            allocation=parse_allocation(options.rule),
            budget=len(tasks),
        )
        stream = task_stream(tasks, least=options.steps, most=options.steps, batch=config.batch)
        for stored in learn_into(archive, learner, stream, codec="fast", checkpoint=checkpoint):
            print(f"{stored.name} of {len(tasks)} tasks", file=sys.stderr, flush=True)


def owned(archive: MaskArchive) -> tuple[list[str], dict[str, int]]:
    """Of each mask the task that it mostly learnt; and how masks and tasks suit each other."""
    batches = [
        {each["name"]: each["batches"] for each in stored.metadata["sources"]} for stored in archive
    ]
    owners = [max(each, key=each.__getitem__) for each in batches]
    given = sum(sum(each.values()) for each in batches)
    return owners, {
        "masks": len(owners),
        "second_masks_of_a_task": len(owners) - len(set(owners)),
        "batches_learnt": given,
        "batches_in_another_tasks_mask": given - sum(max(each.values()) for each in batches),
    }


def measure(
    bank: MaskBank, tasks: Sequence[Task], owners: Sequence[str], images: int
) -> dict[str, Any]:
    """Every method among the masks that there were after these tasks."""
    asked = asked_of(tasks)
    some = [sampled(task, images) for task in asked]
    row: dict[str, Any] = {"tasks": len(tasks), "images": images * len(asked)}
    for name, (method, objective) in RUNS.items():
        found = evaluate_inferred(NNS, bank, some, owners, method=method, objective=objective)
        row[name] = {"task_accuracy": found.task_accuracy, "accuracy": found.accuracy}
    return row


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Learn what is not learnt yet, and measure each number of tasks once."""
    data = load(options.dataset.removeprefix("permuted-"), options.data)
    tasks = [make_task(each, data) for each in task_family(options.dataset, options.tasks, seed=0)]
    path = options.folder / f"{options.dataset}-{options.tasks}-{options.rule}.h5"
    learnt(path, tasks, options)
    rows = []
    with MaskArchive.open(path) as archive:
        backbone, masks = backbone_of(archive), archive.packed()
        owners, found = owned(archive)
        digests = [stored.sha256 for stored in archive]
    for count in [each for each in counts_up_to(len(tasks)) if each >= 10]:
        first = {task.name for task in tasks[:count]}
        then = [at for at, owner in enumerate(owners) if owner in first]
        bank = MaskBank(backbone, masks.select(then), classes=tasks[0].classes)
        settings = {
            "masks": [digests[at] for at in then],
            "images": options.images,
            "runs": RUNS,
            "asked": ASKED,
        }
        measured = partial(
            measure, bank, tasks[:count], [owners[at] for at in then], options.images
        )
        name = f"unnamed-{options.rule}-{count}"
        rows.append(Cache(folder=options.folder).cached(name, settings, measured))
        print(rows[-1], file=sys.stderr, flush=True)
    return {
        "tasks": len(tasks),
        "steps": options.steps,
        "lr": options.lr,
        "seed": 0,
        **found,
        "tasks_without_a_mask": len(tasks) - len(set(owners)),
        "rows": rows,
    }


def main() -> None:
    """Write docs/results/many_unnamed.json, each rule's part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of archives, and what is found")
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--rule", choices=RULES, default="level")
    parser.add_argument("--dataset", default="permuted-mnist")
    parser.add_argument("--tasks", type=int, default=2500)
    parser.add_argument("--outputs", type=int, default=500)
    parser.add_argument("--steps", type=int, default=200, help="batches of a visit, and of a mask")
    parser.add_argument("--lr", type=float, default=LR)
    parser.add_argument("--images", type=int, default=4, help="of each task that is asked about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found, name = study(options), options.rule
    if (options.tasks, options.steps) != tuple(map(parser.get_default, ("tasks", "steps"))):
        name = f"{name}, {options.tasks} tasks of {options.steps} batches"
    kept = saved_results("many_unnamed").get("rules", {})
    save_results("many_unnamed", {"rules": {**kept, name: found}})


if __name__ == "__main__":
    main()
