"""Loading of pictures: batches made as one tensor, and picture by picture."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.textures import texture_tasks
from supsup.datasets import ClassFolders
from supsup.datasets.augment import ResizedCropFlip
from supsup.tasks import Task, TaskRecipe, make_task


def run_loading() -> dict[str, Any]:
    """Batches of 128: augmented as tensors, and picture by picture as torchvision does it."""
    task = next(texture_tasks())
    rng = np.random.default_rng(0)
    batches = [torch.from_numpy(rng.integers(0, task.train_size, 128)) for _ in range(20)]
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder), 64)
        ours = [_seconds(task.train_batch, batch) for batch in batches]
        pillow = [_seconds(_one_by_one, task, batch) for batch in batches]
        large = make_task(
            TaskRecipe(dataset="photos", rule="split", index=0, options={"ways": 2}), photos
        )
        first = _seconds(large.train_batch, torch.arange(64))
        again = min(_seconds(large.train_batch, torch.arange(64)) for _ in range(3))
    return {
        "cifar_batch_ms": round(1000 * float(np.median(ours)), 2),
        "cifar_batch_one_by_one_ms": round(1000 * float(np.median(pillow)), 2),
        "times_faster": round(float(np.median(pillow) / np.median(ours)), 1),
        "photos": "64 JPEG of 500×375, seen at 224×224",
        "photo_first_ms": round(1000 * first / 64, 2),
        "photo_again_ms": round(1000 * again / 64, 2),
    }


def _one_by_one(task: Task, indices: Tensor) -> Tensor:
    """Pad, crop and mirror with Pillow, then scale: what a loader worker does with each picture."""
    rng = np.random.default_rng(0)
    out = []
    for index in indices.tolist():
        wide = Image.new("RGB", (40, 40))
        wide.paste(Image.fromarray(task.train_images[index].permute(1, 2, 0).numpy()), (4, 4))
        left, top = rng.integers(0, 9, 2)
        picture = wide.crop((left, top, left + 32, top + 32))
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        out.append(pixels.mul_(task.scale).add_(task.shift))
    return torch.stack(out)


def _photos(folder: Path, count: int) -> ClassFolders:
    rng = np.random.default_rng(0)
    folders = tuple(folder / name for name in "ab")
    for place in folders:
        place.mkdir()
        for at in range(count // 2):
            coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
            photo = coarse.resize((500, 375), Image.Resampling.BICUBIC)
            photo.save(place / f"{at}.jpg", quality=92)
    return ClassFolders(
        name="photos",
        classes=2,
        train=folders,
        test=folders,
        side=256,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        augment=ResizedCropFlip(size=224),
        place=torch.device("cpu"),
    )


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start
