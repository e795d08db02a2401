"""The parts of ``benchmarks/gpu.py``, each a process of its own: ``benchmarks.gpu_parts PART``.

What a part has measured is in its file at once: of one that fails or is stopped, that is left.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import torch

from benchmarks import mixed_tasks, one_shot
from benchmarks.plain_loop import Plain
from benchmarks.results import ROOT
from benchmarks.textures import texture_tasks, textures
from benchmarks.training_pace import CONV, LENET, OUTPUTS, flops_of
from supsup import BackboneRecipe, build, train
from supsup.archives import create_archive, iter_train_into
from supsup.datasets import load
from supsup.figures.cache import write_json
from supsup.tasks import Task, make_task, task_family
from supsup.tasks.family_images import load_family

Figures = Iterator[Mapping[str, Any]]
"""What a part measured, piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a part is asked for.

    Attributes:
        device: ``cuda`` or ``cpu``.
        small: whether sizes are those of a rehearsal.
        seconds: that the part may take.
        data: folder of the MNIST files; None for the sample that comes with the package.
        cifar: ``cifar100.npz``; None for made-up textures of its shape.
    """

    device: str
    small: bool = False
    seconds: float = 60.0
    data: Path | None = None
    cifar: Path | None = None

    def of(self, full: Any, small: Any) -> Any:
        """The size that is meant."""
        return small if self.small else full

    def clock(self) -> float:
        """Seconds, when all is done that the card was given."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds of work."""
        start = self.clock()
        work()
        return self.clock() - start

    def peak(self) -> dict[str, int]:
        """Most memory so far: allocated on the card, or resident."""
        return {"peak_bytes": one_shot.peak_bytes()}


def ceilings(job: Job) -> Figures:
    """What the card is, and the most that it copies and multiplies."""
    yield {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if job.device != "cpu":
        card = torch.cuda.get_device_properties(0)
        yield {
            "card": card.name,
            "memory_bytes": card.total_memory,
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
        }
    size, seconds = job.of(2**30, 2**20), job.of(1.0, 0.01)
    yield {"copy_bytes_per_second": one_shot.copy_bandwidth(job.device, size, seconds)}
    side = job.of(8192, 128)
    for name, kind, precision in (
        ("float32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "highest"),
    ):
        a = torch.randn(side, side, dtype=kind, device=job.device)
        out = torch.empty_like(a)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            took = one_shot.best_of(lambda a=a, out=out: torch.mm(a, a, out=out), seconds)
        finally:
            torch.set_float32_matmul_precision(before)
        yield {f"{name}_flops_per_second": 2 * side**3 / took}


def permuted(job: Job) -> Figures:
    """PermutedMNIST, 500 outputs, many tasks a step, each mask coded and stored meanwhile."""
    count, rows = job.of(2500, 4), job.of(500, 2)
    config = replace(LENET, steps=job.of(1000, 3))
    name = "mnist-sample" if job.data is None else "mnist"
    digits = load(name, job.data, quiet=True).to(job.device)
    recipes = task_family(f"permuted-{name}", count)
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS)).to(job.device)

    def tasks(some: int = count) -> Iterator[Task]:
        return (make_task(recipe, digits) for recipe in islice(recipes, some))

    yield {
        "data": name,
        "net": "lenet-300-100",
        "outputs": OUTPUTS,
        "weights": backbone.layout.bits,
        "tasks": count,
        "tasks_in_a_step": rows,
        "steps": config.steps,
        "batch": config.batch,
    }
    with tempfile.TemporaryDirectory() as folder:
        warm = replace(config, steps=2)
        with create_archive(Path(folder, "warm.h5"), backbone, warm) as archive:
            list(iter_train_into(archive, backbone, tasks(2), warm, parallel=2))
        alone = job.timed(lambda: list(train(backbone, tasks(rows), config, parallel=rows)))
        yield {"without_storing_seconds_a_task": alone / rows, **job.peak()}
        accuracies: list[float] = []
        told = start = job.clock()
        with create_archive(Path(folder, "a.h5"), backbone, config) as archive:
            for stored in iter_train_into(archive, backbone, tasks(), config, parallel=rows):
                accuracies.append(stored.metadata["metrics"]["accuracy"])
                now = time.perf_counter()
                if len(accuracies) == count or now > told + 2:
                    told = now
                    yield {
                        "stored": len(accuracies),
                        "seconds": now - start,
                        "accuracy": fmean(accuracies),
                        "file_bytes": archive.file_bytes,
                    }
    yield job.peak()


def convolutions(job: Job) -> Figures:
    """SplitCIFAR100 on ResNet-18, top-k: a plain loop, so many tasks a step, then a whole set."""
    if job.cifar is not None:
        recipes, images = load_family(
            "split-folder", data=job.cifar, options={"ways": 5}, prefix="cifar100"
        )
        images = images.to(job.device)
        tasks = [make_task(recipe, images) for recipe in recipes]
    else:
        images = textures().to(job.device)
        tasks = [make_task(task.recipe, images) for task in texture_tasks()]
    tasks = tasks[: job.of(20, 2)]
    options = job.of({}, {"width": 2})
    recipe = BackboneRecipe(net="resnet18", outputs=5, options=options, statistics="batch")
    backbone = build(recipe).to(job.device)
    config = replace(CONV, steps=job.of(40, 2), batch=job.of(128, 16))
    yield {
        "data": "textures" if job.cifar is None else "cifar100",
        "net": "resnet18",
        "weights": backbone.layout.bits,
        "tasks": len(tasks),
        "batch": config.batch,
    }
    plain = Plain(recipe, tasks[0], config)
    flops = flops_of(plain.step)
    took = job.timed(lambda: [plain.step() for _ in range(config.steps or 1)])
    yield {"flops_a_step": flops, "plain_seconds_a_step": took / (config.steps or 1)}
    pace: dict[int, float] = {}
    for rows in job.of((1, 4, 20), (1, 2)):
        if rows > len(tasks):
            continue

        def work(steps: int, rows: int = rows) -> object:
            some = replace(config, steps=steps)
            return list(train(backbone, tasks[:rows], some, parallel=rows))

        work(1)  # chooses algorithms
        more = (config.steps or 1) - 1
        # All but the steps takes as long either way.
        spent = job.timed(lambda: work(1 + more)) - job.timed(lambda: work(1))  # noqa: B023
        pace[rows] = max(spent, 1e-6) / (rows * more)
        yield {"seconds_a_task_and_step": {str(each): took for each, took in pace.items()}}
    best = min(pace, key=pace.__getitem__)
    left = job.of(0.5 * job.seconds, 1.0)
    steps = min(5000, max(2, int(left / (pace[best] * len(tasks)))))
    whole = replace(config, steps=job.of(steps, 2))
    with tempfile.TemporaryDirectory() as folder:
        start, found = job.clock(), []
        with create_archive(Path(folder, "a.h5"), backbone, whole) as archive:
            for stored in iter_train_into(archive, backbone, tasks, whole, parallel=best):
                found.append(stored.metadata["metrics"]["accuracy"])
                yield {
                    "tasks_in_a_step": best,
                    "steps": whole.steps,
                    "stored": len(found),
                    "seconds": job.clock() - start,
                    "accuracy": fmean(found),
                    **job.peak(),
                }


def one_shot_steps(job: Job) -> Figures:
    """One-Shot over packed masks, beside the paper's way: dense masks stacked, and autograd."""
    seconds = job.of(0.5, 0.01)
    rows: dict[str, list[dict[str, Any]]] = {"packed": [], "stacked": []}
    for kind, way, counts in (
        ("packed", one_shot.packed, job.of(one_shot.PACKED, (3,))),
        ("stacked", one_shot.stacked, job.of(one_shot.STACKED, (3,))),
    ):
        for count in counts:
            if job.device != "cpu":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            rows[kind].append(way(count, job.device, seconds))
            yield {kind: rows[kind]}


def mixed(job: Job) -> Figures:
    """Batches whose rows are of many tasks, beside one task on the same rows."""
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in job.of((1, 16, 256, 2500), (2,)):
            measured.append(
                mixed_tasks.measure(
                    Path(folder),
                    count,
                    job.of(16, 2),
                    device=job.device,
                    clock=job.clock,
                )
            )
            yield {"rows": mixed_tasks.ROWS, "counts": measured}


_BAD = ("failure", "error", "skipped")
"""What a report of pytest says within a test that did not pass."""


def marked_tests(job: Job) -> Figures:
    """The tests that are marked ``cuda``: how many passed, and what those say that did not."""
    files = [
        str(file)
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if "mark.cuda" in file.read_text("utf-8")
    ]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "tests.xml")
        how = ("-q", "-m", "cuda", f"--junitxml={told}", "-p", "no:cacheprovider")
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *how, *job.of(files, files[:1])],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if not told.exists():
            raise RuntimeError((run.stderr or run.stdout).strip()[-600:])
        cases = list(ElementTree.parse(told).iter("testcase"))
    ends = [next((each for each in case if each.tag in _BAD), None) for case in cases]
    kinds = ["passed" if each is None else each.tag for each in ends]
    yield {
        **{kind: kinds.count(kind) for kind in ("passed", *_BAD)},
        "not_passed": [
            {"test": case.get("name"), "says": str(end.get("message"))[:300]}
            for case, end in zip(cases, ends, strict=True)
            if end is not None and end.tag != "skipped"
        ],
    }


PARTS: dict[str, Callable[[Job], Figures]] = {
    "ceilings": ceilings,
    "permuted": permuted,
    "one-shot": one_shot_steps,
    "mixed": mixed,
    "convolutions": convolutions,
    "tests": marked_tests,
}


def measure(name: str, job: Job, into: Path) -> None:
    """Run a part; its file has after each piece all that was measured so far."""
    found: dict[str, Any] = {}
    write_json(into, found)
    for figures in PARTS[name](job):
        found |= figures
        write_json(into, found)


def main() -> None:
    """Run the part that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--into", type=Path, required=True, help="file of its figures")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of a rehearsal")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files")
    parser.add_argument("--cifar", type=Path, help="cifar100.npz")
    given = vars(parser.parse_args())
    part, into = given.pop("part"), given.pop("into")
    measure(part, Job(**given), into)


if __name__ == "__main__":
    main()
