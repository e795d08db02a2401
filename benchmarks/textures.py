"""Textures: a data set of CIFAR-100's shape whose classes only filters tell apart.

A class is two gratings, each with a direction, a wavelength and a colour of its own; an image
shows them at random phases and strengths over a smooth background and noise. The mean colour says
nothing, and no pixel does: the phase is random.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from supsup.datasets import Dataset
from supsup.datasets.augment import CropFlip
from supsup.tasks import Task, TaskRecipe, make_task

SIDE = 32
TASKS, WAYS = 5, 5
PER_CLASS = (120, 60)
"""Training and test images."""


def texture_tasks() -> Iterator[Task]:
    """Five tasks of five textures."""
    data = textures()
    for index in range(TASKS):
        recipe = TaskRecipe(dataset="textures", rule="split", index=index, options={"ways": WAYS})
        yield make_task(recipe, data)


def textures() -> Dataset:
    """``PER_CLASS`` images of each class of all tasks."""
    rng = np.random.default_rng(0)
    classes = TASKS * WAYS
    # Two gratings a class: wave vector (radians a pixel) and colour, zero on average.
    angle = rng.uniform(0, math.pi, (classes, 2))
    size = 2 * math.pi / rng.uniform(3.0, 12.0, (classes, 2))
    waves = np.stack([size * np.sin(angle), size * np.cos(angle)], -1)
    colour = rng.normal(size=(classes, 2, 3))
    colour /= np.linalg.norm(colour, axis=-1, keepdims=True)
    parts = [_images(rng, waves, colour, count) for count in PER_CLASS]
    (train_x, train_y), (test_x, test_y) = parts
    return Dataset(
        name="textures",
        classes=classes,
        train_images=train_x,
        train_labels=train_y,
        test_images=test_x,
        test_labels=test_y,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        augment=CropFlip(),
    )


def _images(
    rng: np.random.Generator, waves: np.ndarray, colour: np.ndarray, per_class: int
) -> tuple[torch.Tensor, torch.Tensor]:
    labels = rng.permutation(np.arange(len(waves) * per_class) % len(waves))
    n = len(labels)
    y, x = np.indices((SIDE, SIDE))
    place = (waves @ np.stack([y.ravel(), x.ravel()])).astype(np.float32)[labels]
    phase = rng.uniform(0, 2 * math.pi, (n, 2, 1)).astype(np.float32)
    strength = rng.uniform(30, 60, (n, 2, 1)).astype(np.float32)
    shown = strength * np.cos(place + phase)
    grating = colour[labels].astype(np.float32).transpose(0, 2, 1) @ shown
    coarse = torch.from_numpy(rng.standard_normal((n, 3, 4, 4), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, SIDE, mode="bilinear", align_corners=False)
    noise = rng.standard_normal((n, 3, SIDE, SIDE), np.float32)
    images = 128 + grating.reshape(n, 3, SIDE, SIDE) + 15 * smooth.numpy() + 12 * noise
    pixels = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return torch.from_numpy(pixels), torch.from_numpy(labels)
