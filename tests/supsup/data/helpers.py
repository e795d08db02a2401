"""Small data sets for the tests of supsup.data."""

import struct
from pathlib import Path

import numpy as np
import torch

from supsup.data import Dataset
from supsup.data.catalog import IDX_FILES


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX encoding, written down here independently of the package."""
    sizes = b"".join(struct.pack(">I", n) for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def arrays(seed: int = 0, train: int = 40, test: int = 20) -> list[np.ndarray]:
    """Train images and labels, test images and labels: ten classes, each as often."""
    rng = np.random.default_rng(seed)
    out = []
    for n in (train, test):
        out.append(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        out.append(rng.permutation(np.arange(n) % 10).astype(np.uint8))
    return out


def write_files(folder: Path, contents: list[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_FILES, contents, strict=True):
        (folder / name).write_bytes(idx_bytes(array))


def dataset(**changes) -> Dataset:
    train_x, train_y, test_x, test_y = (torch.from_numpy(array) for array in arrays())
    fields = {
        "name": "mnist",
        "classes": 10,
        "train_images": train_x,
        "train_labels": train_y.long(),
        "test_images": test_x,
        "test_labels": test_y.long(),
        "mean": 0.1307,
        "std": 0.3081,
    }
    return Dataset(**{**fields, **changes})
