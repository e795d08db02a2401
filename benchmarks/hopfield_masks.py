"""Masks for the Hopfield benchmarks: random ones, and trained ones of bn-2048 (4,096 bits).

The trained tasks are the five of SplitMNIST, then the same five under one permutation of the pixels
after another: all two-way, 20 steps each, from the same initial scores. ``python -m
benchmarks.hopfield_masks N`` trains up to N of them into ``.cache/``; it goes on where it stopped.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int8

from benchmarks.results import study_cache
from hopfield import pattern_of
from maskstore import MaskArchive
from maskstore.seeded import streams as seeded
from supsup import BackboneRecipe, TrainConfig, build, train
from supsup.archives import create_archive
from supsup.datasets import load
from supsup.tasks import Task, make_task, task_family
from supsup.tasks.pixel_map import permute

CACHE = study_cache("hopfield")
ARCHIVE = CACHE.folder / "two-way.h5"
RECIPE = BackboneRecipe(net="bn-2048", outputs=10, seed=0, statistics="batch")
CONFIG = TrainConfig(steps=20, batch=64)
BITS = 4096


def random_patterns(count: int, size: int, seed: int = 0) -> Int8[np.ndarray, "pattern unit"]:
    """Independent fair ±1."""
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (count, size))


def trained_patterns() -> Int8[np.ndarray, "pattern unit"] | None:
    """All trained masks as ±1; None where there are none."""
    if not ARCHIVE.exists():
        return None
    with MaskArchive.open(ARCHIVE) as archive:
        masks = [pattern_of(archive.get(name), archive.layout) for name in archive.names()]
    return np.stack(masks)


def masks_settings() -> dict[str, Any]:
    """What the trained masks are of, for the settings of what is measured on them."""
    return {"network": RECIPE.to_json(), "training": CONFIG.to_json()}


def two_way_tasks(start: int, stop: int) -> Iterator[Task]:
    """Tasks ``start`` … ``stop`` - 1: SplitMNIST, then permuted."""
    digits = load("mnist")
    split = [make_task(recipe, digits) for recipe in task_family("split-mnist")]
    for index in range(start, stop):
        turn = index // 5
        order = permute(seeded.permutation(turn, "two-way", 784)) if turn else None
        yield replace(split[index % 5], pixels=order)


def main() -> None:
    """Train what is missing."""
    import torch

    torch.set_num_threads(1)
    if not os.environ.get("SUPSUP_DATA"):
        sys.exit("set SUPSUP_DATA to the folder with MNIST")
    wanted = int(sys.argv[1])
    backbone = build(RECIPE)
    if not ARCHIVE.exists():
        create_archive(CACHE.path(ARCHIVE.name), backbone).close()
    with MaskArchive.open(ARCHIVE, "a") as archive:
        tasks = two_way_tasks(len(archive), wanted)
        for index, trained in enumerate(train(backbone, tasks, CONFIG), len(archive)):
            archive.add(f"two-way/{index}", trained.masks, {"metrics": trained.metrics})
            print(index, trained.metrics["accuracy"], flush=True)


if __name__ == "__main__":
    main()
