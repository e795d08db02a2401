"""Small data sets for the tests of supsup.datasets."""

import hashlib
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from supsup.datasets import SOURCES, Dataset
from supsup.datasets.catalog import IDX_FILES, CifarSource


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


def colours(classes: int, per_class: int, seed: int, side: int = 32) -> tuple[np.ndarray, ...]:
    """Pictures (n, 3, side, side) whose class is their colour under noise, and their labels."""
    hues = np.random.default_rng(0).integers(40, 216, (classes, 3, 1, 1))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(classes * per_class) % classes)
    noise = rng.integers(-40, 40, (len(labels), 3, side, side))
    return (hues[labels] + noise).astype(np.uint8), labels


def cifar_records(per_class: int, seed: int) -> bytes:
    """A file of CIFAR-100's binary release, written down here independently of the package."""
    images, labels = colours(100, per_class, seed)
    records = []
    for image, label in zip(images, labels, strict=True):
        records.append(bytes([label // 5, label]) + image.tobytes())
    return b"".join(records)


def write_cifar(folder: Path, train: int = 12, test: int = 4) -> None:
    """``train.bin`` and ``test.bin`` with so many images of each of 100 classes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.bin").write_bytes(cifar_records(train, seed=1))
    (folder / "test.bin").write_bytes(cifar_records(test, seed=2))


def pack_cifar(folder: Path, archive: Path) -> None:
    """The release: a gzipped tar of the files in a folder."""
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("train.bin", "test.bin"):
            tar.add(folder / name, f"cifar-100-binary/{name}")


def cifar_like(folder: Path, archive: Path | None = None) -> CifarSource:
    """What the catalogue would say if CIFAR-100 were the files in a folder."""
    files = [(folder / name).read_bytes() for name in ("train.bin", "test.bin")]
    source = SOURCES["cifar100"]
    assert isinstance(source, CifarSource)
    return replace(
        source,
        counts=tuple(len(content) // 3074 for content in files),
        sha256=tuple(hashlib.sha256(content).hexdigest() for content in files),
        md5="" if archive is None else hashlib.md5(archive.read_bytes()).hexdigest(),
        url="" if archive is None else archive.as_uri(),
    )


def write_class_folders(folder: Path, counts: dict[int, int], classes: int = 1000) -> None:
    """JPEG pictures of several sizes: one of each class, ``counts`` of some, and half for val."""
    for part, seed in (("train", 1), ("val", 2)):
        rng = np.random.default_rng(seed)
        hues = np.random.default_rng(0).integers(40, 216, (classes, 3))
        for number in range(classes):
            place = folder / part / f"n{number:08d}"
            place.mkdir(parents=True)
            count = counts.get(number, 1)
            for at in range(count if part == "train" else -(-count // 2)):
                height, width = (24, 36) if at % 2 else (30, 20)
                noise = rng.integers(-40, 40, (height, width, 3))
                picture = Image.fromarray((hues[number] + noise).astype(np.uint8))
                picture.save(place / f"{number}_{at}.JPEG", quality=90)
