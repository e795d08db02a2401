"""The data sets that are known by name: their files, checksums, addresses and pixel statistics."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskstore.errors import InvalidInput
from maskstore.registry import Registry, did_you_mean, registry_of
from supsup.datasets.augment import Augment, CropFlip, ResizedCropFlip

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of a data set's files, each allowed to end in ``.gz``: train images, train labels, test
images, test labels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """What is known of a data set by its name.

    Attributes:
        name: what the data set is called in recipes.
        family: the data set's name within task names (``split-<family>/0``); a sample shares it
            with the set it was drawn from.
        classes: number of classes.
        side: height and width of its images as they are kept.
        mean, std: of all training pixels, scaled to [0, 1]; for colour, one of each channel.
        augment: the views of its images; None where they are taken as they are.
        class_names: what its classes are called; None where they have numbers only.
    """

    name: str
    family: str
    classes: int
    side: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    augment: Augment | None = None
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdxSource(Source):
    """A data set of four IDX files.

    Attributes:
        md5: MD5 (hex) of each uncompressed file, in the order of ``IDX_FILES``.
        url: folder the gzipped files are downloaded from; None where they come with the package.
        folder: folder the files come with the package in; None where they do not.
    """

    md5: tuple[str, str, str, str]
    url: str | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CifarSource(Source):
    """A data set in CIFAR-100's binary release.

    Attributes:
        counts: training and test images.
        url: address of the release, a gzipped tar.
        md5: MD5 (hex) of the release, which its makers publish.
        sha256: SHA-256 (hex) of the training and the test file inside.
    """

    counts: tuple[int, int]
    url: str
    md5: str
    sha256: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FolderSource(Source):
    """A data set of pictures in a folder for each class, under ``train`` and ``val``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArraySource(Source):
    """A data set that a function reads.

    Attributes:
        read: is given the folder of the data files, if one was named, and returns train images,
            train labels, test images and test labels: images as bytes, labels as whole numbers.
    """

    read: Callable[[Path | None], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


# Pixel statistics: 0.1307 and 0.3081 are what the paper's code uses for MNIST; the sample keeps
# those of the set it was drawn from, so that masks of one work on the other. 0.2860 and 0.3530
# are Fashion-MNIST's.
_MNIST = IdxSource(
    name="mnist",
    family="mnist",
    classes=10,
    side=28,
    mean=0.1307,
    std=0.3081,
    md5=(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_FASHION_MNIST = IdxSource(
    name="fashion-mnist",
    family="fashion-mnist",
    classes=10,
    side=28,
    mean=0.2860,
    std=0.3530,
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    md5=(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_MNIST_SAMPLE = IdxSource(
    name="mnist-sample",
    family="mnist",
    classes=10,
    side=28,
    mean=0.1307,
    std=0.3081,
    md5=(
        "a4f246b9cbf3626edd5da8c6e28bd4de",
        "c559b242329e480f440009d2d48c0bac",
        "40dca42f879f2fbe7b55f3dc4391452a",
        "4a1c0ccd538b9612c2e98dc6285226eb",
    ),
    folder=Path(__file__).with_name("sample"),
)

# The statistics of CIFAR-100 are of its training set; the paper's code takes CIFAR-10's.
_CIFAR100 = CifarSource(
    name="cifar100",
    family="cifar100",
    classes=100,
    side=32,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    augment=CropFlip(),
    counts=(50_000, 10_000),
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    sha256=(
        "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    ),
)
_IMAGENET = FolderSource(
    name="imagenet",
    family="imagenet",
    classes=1000,
    side=256,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    augment=ResizedCropFlip(size=224),
)

SOURCES: Registry[Source] = registry_of(
    "data set", (_MNIST, _FASHION_MNIST, _MNIST_SAMPLE, _CIFAR100, _IMAGENET)
)
"""Data set name → source."""


def find_source(name: str) -> Source:
    """The source of a data set; raises InvalidInput, listing the known ones, on another name."""
    if name not in SOURCES:
        raise InvalidInput(
            f"unknown data set {name!r}; known: {', '.join(SOURCES)}{did_you_mean(name, SOURCES)}"
        )
    return SOURCES[name]


def family_of(dataset: str) -> str:
    """A data set's name within task names: its own, unless it is a sample of another."""
    return SOURCES[dataset].family if dataset in SOURCES else dataset
