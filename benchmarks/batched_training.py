"""Training many tasks at once beside a plain autograd loop, the paper's code, and bare products.

PermutedMNIST, LeNet-300-100 with 100 outputs, batches of 128. Needs the MNIST files in
``SUPSUP_DATA``. ``--reference DIR`` names a copy of the paper's code (github.com/RAIVNLab/supsup)
and adds it to the comparison; it needs torchvision, pyyaml, seaborn and tqdm.

The comparison runs on one thread and is measured in CPU seconds, which other work on the machine
disturbs least; wall seconds are kept beside them. On all cores: :mod:`benchmarks.all_cores`.
"""

import argparse
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.plain_loop import Ours, Plain
from benchmarks.results import picture, save_results
from supsup import BackboneRecipe, TrainConfig, build
from supsup.datasets import load
from supsup.plots import OTHER, OURS, WARM
from supsup.tasks import Task, make_task, task_family
from supsup.training.plan import Plan
from supsup.training.workers import train_groups

STEPS = 1000
TASKS = 4
RECIPE = BackboneRecipe(net="lenet-300-100", outputs=100, seed=0)


@cache
def tasks_of(count: int) -> list[Task]:
    """The first tasks of PermutedMNIST."""
    digits = load("mnist", quiet=True)
    return [make_task(recipe, digits) for recipe in task_family("permuted-mnist", count)]


def plain_loop(task: Task, config: TrainConfig) -> float:
    """Accuracy of the plain loop; floats are made within its time."""
    plain = Plain(RECIPE, task, config)
    for _ in range(config.steps_for(task.train_size)):
        plain.step()
    return plain.accuracy()


def measure(work: Callable[[], Sequence[float]], what: str, **fields: Any) -> dict[str, Any]:
    """Seconds a task, by the clock and of all cores, of work that returns accuracies."""
    wall, cpu = time.perf_counter(), time.process_time()
    accuracies = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    row = {
        "what": what,
        **fields,
        "tasks": len(accuracies),
        "seconds_a_task": round(wall / len(accuracies), 3),
        "cpu_seconds_a_task": round(cpu / len(accuracies), 3),
        "accuracy": round(fmean(accuracies), 4),
    }
    print(row, file=sys.stderr, flush=True)
    return row


def engine(tasks: Sequence[Task], config: TrainConfig, plan: Plan) -> list[float]:
    """Accuracies of tasks trained by a plan."""
    found = train_groups(build(RECIPE), tasks, config, plan, lambda progress: None)
    return [mask.metrics["accuracy"] for mask in found]  # type: ignore[union-attr]


def bare_products(steps: int) -> float:
    """CPU seconds for the matrix products of one task and nothing else."""
    x = torch.randn(128, 784)
    weights = [torch.randn(b, a) for a, b in ((784, 300), (300, 100), (100, 100))]
    start = time.process_time()
    for _ in range(steps):
        inputs = [x]
        for weight in weights:
            inputs.append(inputs[-1] @ weight.T)
        pull = inputs[-1]
        for at in (2, 1, 0):
            _ = pull.T @ inputs[at]
            if at:
                pull = pull @ weights[at]
    return time.process_time() - start


def profile(task: Task, steps: int) -> dict[str, float]:
    """CPU milliseconds a step of each part of the engine."""
    ours = Ours(RECIPE, task, TrainConfig(steps=steps + 1))
    ours.step()  # compiles
    spent = {"batches": 0.0, "forward and backward": 0.0, "update": 0.0}
    for _ in range(steps):
        marks = [time.process_time()]
        batch = ours.batch()
        marks.append(time.process_time())
        ours.gradient(batch)
        marks.append(time.process_time())
        ours.update()
        marks.append(time.process_time())
        for part, (a, b) in zip(spent, pairwise(marks), strict=True):
            spent[part] += (b - a) / steps * 1000
    return {part: round(milliseconds, 3) for part, milliseconds in spent.items()}


_REFERENCE = """
import sys, time
sys.path.insert(0, ".")
data, logs, steps = sys.argv[1:]
sys.argv = sys.argv[:1]
from args import args
import trainers.default as trainer
spent, right, inner, test = [], [], trainer.train, trainer.test
def train(*given, **named):
    wall, cpu = time.perf_counter(), time.process_time()
    inner(*given, **named)
    spent.append((time.perf_counter() - wall, time.process_time() - cpu))
def tested(*given, **named):
    right.append(test(*given, **named))
    return right[-1]
trainer.train, trainer.test = train, tested
from main import main as run
import adaptors
adaptors.gt = lambda *given, **named: 0.0  # fails on this PyTorch, and is no part of training
args.set, args.model, args.multigpu = "MNISTPerm", "LeNet", None
args.conv_type, args.conv_init = "FastMultitaskMaskConv", "signed_constant"
args.eval_ckpts, args.num_tasks, args.adaptor, args.output_size = [], 1, "gt", 100
args.lr, args.optimizer, args.iter_lim, args.epochs = 1e-4, "rmsprop", int(steps), 3
args.no_scheduler, args.data, args.log_dir = True, data, logs
run()
print("SECONDS", *map(sum, zip(*spent)), right[-1], flush=True)
"""


def reference(folder: Path, mnist: Path, steps: int) -> dict[str, Any]:
    """The paper's code on one task, with the settings of its LeNet-250-tasks experiment.

    The time is that of its training function: its own loader (no workers without CUDA) and
    torchvision's transforms, three passes of which the last is cut off at the step limit.
    """
    with TemporaryDirectory() as temporary:
        raw = Path(temporary) / "mnist" / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in mnist.iterdir():
            read = gzip.decompress if file.suffix == ".gz" else bytes
            (raw / file.name.removesuffix(".gz")).write_bytes(read(file.read_bytes()))
        process = subprocess.run(
            [sys.executable, "-c", _REFERENCE, temporary, f"{temporary}/logs", str(steps)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if process.returncode:
        raise SystemExit(f"the reference failed:\n{process.stdout[-2000:]}{process.stderr[-2000:]}")
    (last,) = [line for line in process.stdout.splitlines() if line.startswith("SECONDS")]
    wall, cpu, right = map(float, last.split()[1:])
    row = {
        "what": "the paper's code",
        "tasks": 1,
        "seconds_a_task": round(wall, 3),
        "cpu_seconds_a_task": round(cpu, 3),
        "accuracy": round(right, 4),
    }
    print(row, file=sys.stderr, flush=True)
    return row


def draw(figures: dict[str, Any]) -> None:
    """CPU seconds a task against T, beside the loops."""
    with picture("batched_training") as figure:
        axes = figure.subplots()
        for form, label, colour in (
            ("workers", "a task a thread", OURS),
            ("rows", "all in one step", WARM),
        ):
            rows = [row for row in figures["by_t"] if row["form"] == form]
            axes.plot(
                [row["t"] for row in rows],
                [row["tasks_per_1000_cpu_seconds"] for row in rows],
                marker="o",
                color=colour,
                label=f"this package, {label}",
            )
        for row in figures["comparison"][1:]:
            height = 1000 / row["cpu_seconds_a_task"]
            axes.axhline(height, color=OTHER, linestyle="--")
            axes.annotate(
                row["what"],
                (8, height),
                (0, 3),  # points above the line: it is not to go through what hangs below
                textcoords="offset points",
                fontsize=8,
                va="bottom",
                ha="right",
            )
        axes.set(xlabel="tasks at a time", ylabel="tasks of 1,000 steps in 1,000 CPU seconds")
        axes.set_ylim(0)
        axes.legend()


def main() -> None:
    """Measure everything in one run; a few minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="folder of the paper's code")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (task,) = tasks_of(1)
    config, brief = TrainConfig(steps=STEPS), TrainConfig(steps=STEPS // 10)
    engine([task], TrainConfig(steps=2), Plan())  # compiles
    comparison = [
        measure(lambda: engine([task], config, Plan()), "this package"),
        measure(lambda: [plain_loop(task, config)], "plain autograd loop"),
    ]
    bare = bare_products(STEPS)
    # Hardly any test images: the training alone.
    many = [replace(t, test_images=t.test_images[:128], test_y=t.test_y[:128]) for t in tasks_of(8)]
    by_t = []
    for form in ("workers", "rows"):
        for t in (1, 2, 4, 8):
            plan = Plan(workers=t) if form == "workers" else Plan(rows=t)
            row = measure(lambda plan=plan: engine(many, brief, plan), form, t=t)
            rate = round(100 / row["cpu_seconds_a_task"], 1)
            by_t.append({"form": form, "t": t, "tasks_per_1000_cpu_seconds": rate})
    parts = profile(task, brief.steps or 1)
    if options.reference:
        mnist = Path(os.environ["SUPSUP_DATA"]) / "mnist"
        comparison.append(reference(options.reference, mnist, STEPS))
    low = measure(
        lambda: engine([task], TrainConfig(steps=STEPS, precision="bfloat16"), Plan()), "bfloat16"
    )
    figures = {
        "torch": torch.__version__,
        "steps": STEPS,
        "comparison": comparison,
        "matrix_products_alone_cpu_seconds": round(bare, 3),
        "times_the_cpu_of_this_package": {
            row["what"]: round(row["cpu_seconds_a_task"] / comparison[0]["cpu_seconds_a_task"], 2)
            for row in comparison[1:]
        },
        "load_average": os.getloadavg(),
        "by_t": by_t,
        "milliseconds_a_step": parts,
        "bfloat16": low,
    }
    save_results("batched_training", figures)
    draw(figures)


if __name__ == "__main__":
    main()
