"""Pictures of a user in folders of classes, or in a zip of these: listed, digested, decoded."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64, UInt8

from maskstore.errors import InvalidInput, SupsupError
from maskstore.foreign import foreign_file, one_line, require_size
from supsup.datasets.lazy_images import PICTURES, is_picture, parsed_picture, square
from supsup.datasets.pixels import Mode, plain_picture

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 2**33
"""Most bytes of files or of decoded images."""

DIGITS = 32
"""Hexadecimal digits of a digest that are kept: 128 bits."""

_PARTS = (("train",), ("test", "val"))
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnPart:
    """Training or test images, their labels, and the digest of what they were made of."""

    images: UInt8[np.ndarray, "n *channel height width"]
    labels: Int64[np.ndarray, " n"]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _File:
    """A picture in a folder or a zip."""

    class_name: str
    where: Path
    read: Callable[[], bytes]


def read_pictures(
    where: Path, size: int | None, *, known: bool = False
) -> tuple[tuple[str, ...], list[OwnPart]]:
    """The names of the classes, sorted, and the training and test pictures.

    They are grey where all are, else in colour.

    Args:
        where: a folder, or a zip.
        size: height and width that they are scaled to; None where all have one size.
        known: masks were trained on these pictures as they are, so no size can be given any more.

    Raises:
        InvalidInput: no pictures, classes in one part only, several sizes, or an unreadable one.
    """
    if where.is_dir():
        return _read_listed(where, _in_folder(where), size, known)
    # Open until all is read: each opening reads the whole directory of the zip.
    with foreign_file(where, ".zip file") as file, zipfile.ZipFile(file) as opened:
        return _read_listed(where, _in_zip(where, opened), size, known)


def _read_listed(
    where: Path, parts: list[list[_File]], size: int | None, known: bool
) -> tuple[tuple[str, ...], list[OwnPart]]:
    there = [{file.class_name for file in part} for part in parts]
    if other := there[0] ^ there[1]:
        raise InvalidInput(
            f"{where}: class {min(other)!r} is only in one of train and test; each class needs "
            f"pictures ({', '.join(PICTURES)}) in both"
        )
    names = tuple(sorted(there[0]))
    if len(names) < 2:
        raise InvalidInput(f"{where}: expected pictures of at least two classes, got {len(names)}")
    grey = all(_mode_of(file) in _GREY for part in parts for file in part)
    mode: Mode = "L" if grey else "RGB"
    return names, [_decoded(part, names, mode, size, known) for part in parts]


def _in_folder(folder: Path) -> list[list[_File]]:
    parts = []
    for spelled in _PARTS:
        found = next((folder / each for each in spelled if (folder / each).is_dir()), None)
        if found is None:
            raise InvalidInput(
                f"{folder}: no folder {' or '.join(spelled)}; expected train/CLASS/* and "
                "test/CLASS/* (or val)"
            )
        parts.append(
            [
                _File(class_name=inner.name, where=file, read=partial(bytes_of, file))
                for inner in sorted(each for each in found.iterdir() if each.is_dir())
                for file in sorted(inner.iterdir())
                if is_picture(file.name)
            ]
        )
    return parts


def _in_zip(path: Path, opened: zipfile.ZipFile) -> list[list[_File]]:
    require_size(path, sum(each.file_size for each in opened.infolist()), LARGEST)
    members: dict[str, list[tuple[str, str]]] = {}
    for member in sorted(opened.namelist()):
        *_, part, inner, name = ("", "", *member.split("/"))
        if is_picture(name) and inner and "__MACOSX" not in member:
            members.setdefault(part, []).append((inner, member))
    parts = []
    for spelled in _PARTS:
        found = next((members[each] for each in spelled if each in members), None)
        if found is None:
            places = " or ".join(f"{each}/CLASS/*" for each in spelled)
            raise InvalidInput(f"{path}: no pictures in {places}")
        parts.append(
            [
                _File(class_name=inner, where=path / member, read=partial(opened.read, member))
                for inner, member in sorted(found)
            ]
        )
    return parts


def bytes_of(path: Path) -> bytes:
    """A file's bytes; raises InvalidInput."""
    with foreign_file(path, "picture", largest=LARGEST) as file:
        return file.read()


def _mode_of(file: _File) -> str:
    with _picture(file.read(), file.where) as picture:
        return picture.mode


@contextmanager
def _picture(data: bytes, where: Path) -> Iterator["Image.Image"]:
    """A picture in memory; raises InvalidInput where it is none, too large, or the block fails."""
    try:
        with parsed_picture(BytesIO(data), where) as picture:
            yield picture
    except SupsupError:
        raise
    except Exception as error:
        raise InvalidInput(f"{where}: not a readable picture ({one_line(error)})") from error


def pixels_of(data: bytes, where: Path, mode: Mode, size: int | None) -> np.ndarray:
    """A picture's pixels, (height, width) or (3, height, width); raises InvalidInput."""
    with _picture(data, where) as picture:
        plain = plain_picture(picture, mode, where)
        array = np.asarray(plain if size is None else square(plain, size))
    return array if mode == "L" else np.ascontiguousarray(array.transpose(2, 0, 1))


def _decoded(
    files: list[_File], names: tuple[str, ...], mode: Mode, size: int | None, known: bool
) -> OwnPart:
    digest = hashlib.sha256()
    pixels: list[np.ndarray] = []
    for file in files:
        data = file.read()
        digest.update(f"{file.class_name}/{file.where.name}/{len(data)}/".encode())
        digest.update(data)
        pixels.append(pixels_of(data, file.where, mode, size))
        shape, first = (f"{each.shape[-1]}×{each.shape[-2]}" for each in (pixels[-1], pixels[0]))
        if shape != first:
            advice = (
                "the masks were trained on pictures of one size, so not on this one"
                if known
                else "say to which size all are scaled, --size"
            )
            raise InvalidInput(
                f"{file.where}: {shape} pixels, the first picture has {first}; {advice}"
            )
        if pixels[0].nbytes * len(files) > LARGEST:
            raise InvalidInput(
                f"{file.where}: {len(files)} pictures of {shape} pixels take more than the "
                f"{LARGEST} bytes that are held in memory; scale them down, --size"
            )
    labels = np.array([names.index(file.class_name) for file in files], np.int64)
    return OwnPart(images=np.stack(pixels), labels=labels, digest=digest.hexdigest()[:DIGITS])
