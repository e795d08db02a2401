"""The data sets that are known by name: their files, checksums, addresses and pixel statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from maskstore.errors import InvalidInput

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of a data set's files, each allowed to end in ``.gz``: train images, train labels, test
images, test labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a data set of four IDX files comes from.

    Attributes:
        name: what the data set is called in recipes.
        family: the data set's name within task names (``split-<family>/0``); a sample shares it
            with the set it was drawn from.
        classes: number of classes.
        mean, std: of all training pixels, scaled to [0, 1].
        md5: MD5 (hex) of each uncompressed file, in the order of ``IDX_FILES``.
        url: folder the gzipped files are downloaded from; None where they come with the package.
        folder: folder the files come with the package in; None where they do not.
    """

    name: str
    family: str
    classes: int
    mean: float
    std: float
    md5: tuple[str, str, str, str]
    url: str | None = None
    folder: Path | None = None


# Pixel statistics: 0.1307 and 0.3081 are what the paper's code uses for MNIST; the sample keeps
# those of the set it was drawn from, so that masks of one work on the other. 0.2860 and 0.3530
# are Fashion-MNIST's.
_MNIST = Source(
    name="mnist",
    family="mnist",
    classes=10,
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
_FASHION_MNIST = Source(
    name="fashion-mnist",
    family="fashion-mnist",
    classes=10,
    mean=0.2860,
    std=0.3530,
    md5=(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_MNIST_SAMPLE = Source(
    name="mnist-sample",
    family="mnist",
    classes=10,
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

SOURCES: Mapping[str, Source] = MappingProxyType(
    {source.name: source for source in (_MNIST, _FASHION_MNIST, _MNIST_SAMPLE)}
)
"""Data set name → source."""


def find_source(name: str) -> Source:
    """The source of a data set; raises InvalidInput, listing the known ones, on another name."""
    if name not in SOURCES:
        raise InvalidInput(f"unknown data set {name!r}; known: {', '.join(SOURCES)}")
    return SOURCES[name]


def family_of(dataset: str) -> str:
    """A data set's name within task names: its own, unless it is a sample of another."""
    return SOURCES[dataset].family if dataset in SOURCES else dataset
