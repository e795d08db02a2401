"""Residual nets: tasks one after another and read back, memory in flight, ImageNet's sizes.

``--parts`` runs some of the parts and keeps the others' figures; every measurement of memory, and
the reading back, is a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.conv_loading import run_loading
from benchmarks.results import picture, save_results, saved_results
from benchmarks.textures import PER_CLASS, TASKS, WAYS, texture_tasks
from maskstore import MaskArchive
from supsup import Backbone, BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of, create_archive, train_into
from supsup.evaluation.score import accuracy
from supsup.networks import resnet
from supsup.training.group import train_group

WIDTH = 8
CONFIG = TrainConfig(
    steps=60,
    batch=64,
    rule="topk",
    density=0.3,
    budget="erdos-renyi",
    optimizer="adam",
    lr=0.01,
)
ROWS = (1, 2, 4)
"""Tasks in flight whose memory is measured."""

PARTS = ("tasks", "memory", "resnet50", "loading")


def run_tasks() -> dict[str, Any]:
    """Train five tasks in turn, each in a new process; then read all of them back in one."""
    backbone = build(
        BackboneRecipe(net="resnet18", outputs=WAYS, options={"width": WIDTH}, statistics="batch")
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "textures.h5")
        create_archive(path, backbone).close()
        seconds = [_in_a_process("train", str(path), str(index)) for index in range(TASKS)]
        reread = _in_a_process("reread", str(path))
        with MaskArchive.open(path) as archive:
            stored = list(archive)
            size = archive.file_bytes
            shared = shared_statistics(backbone, archive)
    after = [task.metadata["metrics"]["accuracy"] for task in stored]
    return {
        "net": f"resnet18, width {WIDTH}",
        "weights": backbone.layout.bits,
        "config": {key: value for key, value in CONFIG.to_json().items() if value is not None},
        "images_a_class": {"train": PER_CLASS[0], "test": PER_CLASS[1]},
        "accuracy_after_training": after,
        "accuracy_reread": reread,
        "all_equal": after == reread,
        "accuracy_with_shared_running_statistics": shared,
        "seconds": round(sum(seconds), 1),
        "bytes_a_task": [task.bytes for task in stored],
        "codec": sorted({task.codec for task in stored}),
        "bitpacked_bytes": backbone.layout.packed_bytes,
        "file_bytes": size,
    }


def train_one(path: str, index: int) -> float:
    """Append one task's mask; gives the seconds it took."""
    start = time.perf_counter()
    with MaskArchive.open(path, "a") as archive:
        chosen = islice(texture_tasks(), index, index + 1)
        train_into(archive, backbone_of(archive), chosen, CONFIG, parallel=1)
    return time.perf_counter() - start


def reread(path: str) -> list[float]:
    """Every task's accuracy, from the archive alone."""
    with MaskArchive.open(path) as archive:
        backbone = backbone_of(archive)
        return [accuracy(backbone, archive.get(task.name), task) for task in texture_tasks()]


def shared_statistics(backbone: Backbone, archive: MaskArchive) -> list[float]:
    """The same masks, were batch norm to keep one running mean and variance for all tasks.

    The averages (momentum 0.1) see 20 training batches of each task in turn; then every task is
    evaluated with what they are at the end, as the paper's code does after loading a checkpoint.
    """
    averages: list[tuple[Tensor, Tensor]] = []
    with _normalisation(averages, training=True), torch.no_grad():
        for task in texture_tasks():
            masks = backbone.tensors(archive.get(task.name))
            generator = torch.Generator().manual_seed(0)
            for _ in range(20):
                indices = torch.randint(task.train_size, (CONFIG.batch,), generator=generator)
                backbone.logits(task.train_batch(indices)[0], masks)
    with _normalisation(averages, training=False):
        return [accuracy(backbone, archive.get(task.name), task) for task in texture_tasks()]


@contextmanager
def _normalisation(averages: list[tuple[Tensor, Tensor]], *, training: bool) -> Iterator[None]:
    """Batch norm with running averages, one pair for each place in the network."""
    plain, forward = resnet.normalised, resnet.ResNet.forward
    place = 0

    def normalise(
        norm: nn.BatchNorm2d, x: Tensor, *, add: Tensor | None = None, relu: bool = True
    ) -> Tensor:
        nonlocal place
        if place == len(averages):
            averages.append((torch.zeros(x.shape[1]), torch.ones(x.shape[1])))
        mean, variance = averages[place]
        place += 1
        y = F.batch_norm(x, mean, variance, training=training)
        y = y if add is None else y + add
        return F.relu(y) if relu else y

    def from_the_first(self: resnet.ResNet, x: Tensor) -> Tensor:
        nonlocal place
        place = 0
        return forward(self, x)

    resnet.normalised, resnet.ResNet.forward = normalise, from_the_first
    try:
        yield
    finally:
        resnet.normalised, resnet.ResNet.forward = plain, forward


def run_memory() -> dict[str, Any]:
    """Peak memory of training the paper's ResNet-18, several tasks in each step."""
    rows = [_in_a_process("memory", str(count)) for count in ROWS]
    extra = (rows[-1]["peak_bytes"] - rows[0]["peak_bytes"]) / (ROWS[-1] - ROWS[0])
    bits = rows[0]["weights"]
    return {
        "net": "resnet18, width 20, batch 128, sgd",
        "rows": rows,
        "bytes_per_extra_task": round(extra),
        "of_which_buffers": 16 * bits,
    }


def memory(count: int) -> dict[str, Any]:
    """Two steps of ``count`` tasks together."""
    backbone = build(BackboneRecipe(net="resnet18", outputs=WAYS, statistics="batch"))
    some = list(islice(texture_tasks(), count))
    before = _peak()
    start = time.perf_counter()
    train_group(
        backbone,
        some,
        TrainConfig(steps=2),
        rows=count,
        report=lambda progress: None,
        stopped=lambda: False,
    )
    return {
        "tasks": count,
        "weights": backbone.layout.bits,
        "peak_bytes": _peak(),
        "peak_before_training": before,
        "seconds": round(time.perf_counter() - start, 1),
    }


def run_resnet50() -> dict[str, Any]:
    """The full ResNet-50, in a process of its own."""
    return _in_a_process("resnet50")


def resnet50() -> dict[str, Any]:
    """Its layout, and a step of training on images of 224×224."""
    found: dict[str, Any] = {"before_bytes": _peak()}
    backbone = found_in(
        found,
        "build",
        lambda: build(BackboneRecipe(net="resnet50", outputs=10, statistics="batch")),
    )
    found["weights_with_1000_outputs"] = backbone.layout.bits + 990 * 2048
    found["weights"] = backbone.layout.bits
    found["bitpacked_bytes"] = backbone.layout.packed_bytes
    found["dense_bytes"] = 4 * backbone.parameter_count
    found_in(found, "digest", lambda: backbone.digest)
    generator = torch.Generator().manual_seed(0)
    masks = {
        name: (torch.rand(w.shape, generator=generator) < 0.3).numpy()
        for name, w in backbone.weights.items()
    }
    found_in(found, "pack", lambda: backbone.layout.pack(masks))
    x = torch.randn(8, 3, 224, 224, generator=generator)
    weights = {
        name: w.requires_grad_() for name, w in backbone.masked(backbone.tensors(masks)).items()
    }

    def step() -> None:
        loss = F.cross_entropy(backbone.run(x, weights), torch.arange(8))
        torch.autograd.grad(loss, list(weights.values()))

    found_in(found, "gradient_of_8_images", step)
    return found


def found_in(found: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """What ``call`` gives; its seconds and the peak memory so far go into ``found``."""
    start = time.perf_counter()
    result = call()
    found[f"{name}_seconds"] = round(time.perf_counter() - start, 3)
    found[f"{name}_peak_bytes"] = _peak()
    return result


def _peak() -> int:
    """Most memory this process ever held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_a_process(*arguments: str) -> Any:
    run = [sys.executable, "-m", "benchmarks.conv_tasks", "--only", *arguments]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def plot(figures: dict[str, Any]) -> None:
    """Accuracy of each task: after its training, read back, and with shared statistics."""
    # Here, not above: the measured processes should hold what the task needs and no more.
    from supsup.plots import DARK, in_percent

    shown = figures["tasks"]
    place = np.arange(TASKS)
    with picture("conv_tasks") as figure:
        axes = figure.subplots()
        for at, (key, label) in enumerate(
            (
                ("accuracy_after_training", "right after its training"),
                ("accuracy_reread", "all trained, new process"),
                ("accuracy_with_shared_running_statistics", "with shared running statistics"),
            )
        ):
            axes.bar(place + (at - 1) * 0.27, shown[key], 0.25, label=label)
        axes.axhline(1 / WAYS, color=DARK, linestyle=":", label="chance")
        axes.set(xlabel="task", xticks=place, ylim=(0, 1))
        in_percent(axes.yaxis, "test accuracy")
        figure.legend(loc="outside upper center", ncols=4)


def main() -> None:
    """Run the parts; ``--only`` is one of their processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    if arguments.only:
        what, *rest = arguments.only
        if what == "train":
            print(json.dumps(train_one(rest[0], int(rest[1]))))
        elif what == "reread":
            print(json.dumps(reread(*rest)))
        elif what == "memory":
            print(json.dumps(memory(int(rest[0]))))
        else:
            print(json.dumps(resnet50()))
        return
    run = {
        "tasks": run_tasks,
        "memory": run_memory,
        "resnet50": run_resnet50,
        "loading": run_loading,
    }
    for part in arguments.parts:
        found = run[part]() | {
            "threads": torch.get_num_threads(),
            "load_average": round(os.getloadavg()[0], 1),
        }
        figures = saved_results("conv_tasks") | {part: found}
        save_results("conv_tasks", {part: figures[part] for part in PARTS if part in figures})
        if part == "tasks":
            plot(figures)


if __name__ == "__main__":
    main()
