"""Pictures: images in files, decoded when they are first asked for."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file
from supsup.datasets.pixels import plain_picture

if TYPE_CHECKING:
    from PIL import Image

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Endings of the files that are taken for pictures, in capitals or not."""

CACHE_BYTES = 2**32
"""Most bytes of decoded pictures that one :class:`Pictures` keeps; further ones are decoded each
time. A task of SplitImageNet, 13,000 pictures of 256×256, takes 2.6 GB."""

LARGEST_PICTURE = 2**26
"""Most pixels of a picture: decoding takes up to 16 bytes each, 1 GiB for the largest. A file of a
few kilobytes may say that it has billions."""

_THREADS = os.cpu_count() or 1


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its name."""
    return name.lower().endswith(PICTURES)


@contextmanager
def open_picture(path: Path, largest: int = LARGEST_PICTURE) -> Iterator["Image.Image"]:
    """A picture in a file, its pixels not yet decoded.

    Raises:
        InvalidInput: the file is no readable picture, decoding it in the block fails, or it says
            that it has more than ``largest`` pixels.
    """
    with foreign_file(path, "picture") as file, parsed_picture(file, path, largest) as picture:
        yield picture


@contextmanager
def parsed_picture(
    file: BufferedReader | BytesIO, where: Path, largest: int = LARGEST_PICTURE
) -> Iterator["Image.Image"]:
    """A picture, its pixels not yet decoded.

    Raises:
        InvalidInput: it is of no known format, or says that it has more than ``largest`` pixels.
    """
    from PIL import Image, UnidentifiedImageError  # Pillow is loaded by the first picture

    try:
        picture = Image.open(file)
    except UnidentifiedImageError:  # its own words name an object in memory
        raise InvalidInput(f"{where}: not a readable picture (of no known format)") from None
    with picture:
        if picture.width * picture.height > largest:
            raise InvalidInput(
                f"{where}: {picture.width}×{picture.height} pixels, more than the {largest} that "
                "are read; scale it down"
            )
        yield picture


def decode(path: Path, side: int) -> UInt8[np.ndarray, "3 side side"]:
    """The square in the middle of a picture, in colour, scaled to ``side``.

    Raises:
        InvalidInput: the file is no readable picture.
    """
    with open_picture(path) as picture:
        # JPEG can be decoded at a half, a quarter or an eighth of its size; never below side.
        picture.draft("RGB", (side, side))
        scaled = square(plain_picture(picture, "RGB", path), side)
    return np.asarray(scaled).transpose(2, 0, 1)


def square(whole: "Image.Image", side: int) -> "Image.Image":
    """The square in the middle of a picture, scaled to ``side``."""
    from PIL import Image

    width, height = whole.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    where = (left, top, left + edge, top + edge)
    return whole.resize((side, side), Image.Resampling.BILINEAR, where)


class Pictures:
    """Pictures in files, as a tensor of bytes (picture, 3, side, side) that fills as it is read.

    A picture is decoded once, in threads, the first time it is asked for; so the first pass over
    the data waits for the decoder and the others do not.
    """

    def __init__(self, files: Sequence[Path], side: int, device: torch.device) -> None:
        """Nothing is read yet.

        Args:
            side: height and width that they are scaled to.
            device: where batches go; decoded pictures are kept in main memory.
        """
        self.files = files
        self.side = side
        self.device = device
        cached = min(len(files), CACHE_BYTES // (3 * side * side))
        # Takes no memory before it is written to.
        self._cache = torch.empty(cached, 3, side, side, dtype=torch.uint8, device="cpu")
        self._there = np.zeros(cached, bool)

    def __len__(self) -> int:
        return len(self.files)

    def to(self, device: torch.device | str) -> "Pictures":
        """The same pictures for another device; what is decoded is not taken along."""
        return Pictures(self.files, self.side, torch.device(device))

    def __getitem__(self, which: slice | Int64[Tensor, " b"]) -> UInt8[Tensor, "b 3 side side"]:
        """Some pictures, on the device.

        Raises:
            InvalidInput: a file is no readable picture.
        """
        if isinstance(which, slice):
            wanted = np.arange(len(self.files))[which]
        else:
            wanted = which.cpu().numpy()
        out = torch.empty(len(wanted), 3, self.side, self.side, dtype=torch.uint8, device="cpu")
        inside = wanted < len(self._cache)
        new = wanted[inside]
        self._decode(np.unique(new[~self._there[new]]), self._cache)
        out[torch.from_numpy(inside)] = self._cache[torch.from_numpy(new)]
        passing = np.flatnonzero(~inside)
        self._decode(wanted[passing], out, at=passing)
        return out.to(self.device)

    def _decode(
        self,
        wanted: Int64[np.ndarray, " n"],
        into: UInt8[Tensor, "m 3 side side"],
        at: Int64[np.ndarray, " n"] | None = None,
    ) -> None:
        """Decode files into rows of ``into``, their own where ``at`` names no others."""
        if not len(wanted):
            return
        rows = into.numpy()

        def one(number: int, row: int) -> None:
            rows[row] = decode(self.files[number], self.side)

        with ThreadPoolExecutor(min(_THREADS, len(wanted))) as threads:
            list(threads.map(one, wanted.tolist(), (wanted if at is None else at).tolist()))
        if at is None:
            self._there[wanted] = True
