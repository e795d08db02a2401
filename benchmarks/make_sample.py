"""Makes the sample of MNIST that comes with the package, from the full set.

For each of train and test, the images are put in the order of the seeded permutation (seed 0,
purpose ``mnist-sample/train`` or ``mnist-sample/test``); the first 600 (train) or 150 (test) of
each digit are chosen and kept in the order of the original file. Run it with the package
installed and the folder of the full MNIST:

    python benchmarks/make_sample.py DATA_DIR [OUT_DIR]

It prints the MD5 of each uncompressed file, which ``supsup/datasets/catalog.py`` records.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from maskstore.seeded import streams as seeded
from supsup.datasets import Dataset, load
from supsup.datasets.catalog import IDX_FILES
from supsup.datasets.idx import encode_idx, idx_md5

SEED = 0
PER_CLASS = {"train": 600, "test": 150}
OUT = Path(__file__).parent.parent / "supsup" / "datasets" / "sample"


def choose(labels: Int64[np.ndarray, " n"], part: str) -> Int64[np.ndarray, " chosen"]:
    """Indices of the chosen images, ascending."""
    order = seeded.permutation(SEED, f"mnist-sample/{part}", len(labels))
    chosen = [order[labels[order] == digit][: PER_CLASS[part]] for digit in range(10)]
    return np.sort(np.concatenate(chosen))


def sample(mnist: Dataset) -> dict[str, np.ndarray]:
    """File name → array, for the four files of the sample."""
    parts = {
        "train": (mnist.train_images.numpy(), mnist.train_labels.numpy()),
        "test": (mnist.test_images.numpy(), mnist.test_labels.numpy()),
    }
    arrays = []
    for part, (images, labels) in parts.items():
        chosen = choose(labels, part)
        arrays += [images[chosen], labels[chosen].astype(np.uint8)]
    return dict(zip(IDX_FILES, arrays, strict=True))


def main(data_dir: str, out_dir: str | Path = OUT) -> None:
    """Write the four gzipped files and print their checksums and sizes."""
    for name, array in sample(load("mnist", data_dir)).items():
        # No time stamp and no file name inside: the same digits give the same bytes.
        packed = gzip.compress(encode_idx(array), compresslevel=9, mtime=0)
        Path(out_dir, f"{name}.gz").write_bytes(packed)
        print(f"{idx_md5(array)}  {name}  {array.shape}  {len(packed)} bytes gzipped")


if __name__ == "__main__":
    main(*sys.argv[1:])
