"""Pictures of every kind, in a folder to infer from and in a folder of a class: what a viewer shows
is what arrives, or one line says why not.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskstore.errors import InvalidInput
from supsup.datasets.catalog import find_source
from supsup.datasets.inputs import natural_order, read_images
from supsup.datasets.lazy_images import Pictures

SIDE = 28
RAMP = np.tile(np.linspace(0, 255, SIDE).round().astype(np.uint8), (SIDE, 1))
"""Black at the left, white at the right."""
COLOUR = np.stack([RAMP, RAMP.T, 255 - RAMP], 2)
GREY_OF_COLOUR = np.asarray(Image.fromarray(COLOUR).convert("L"))
ORIENTATION = 0x0112


def turned(array: np.ndarray, orientation: int) -> tuple[Image.Image, dict]:
    """A picture as a camera that was held otherwise stores it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    # 6: the stored picture is to be turned clockwise; 3: upside down.
    stored = np.rot90(array, {3: 2, 6: 1, 8: -1}[orientation])
    return Image.fromarray(np.ascontiguousarray(stored)), {"exif": exif}


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.concatenate([colour, alpha[..., None]], 2))


def transparent_palette() -> tuple[Image.Image, dict]:
    picture = Image.fromarray(np.where(RAMP < 128, 0, 1).astype(np.uint8), "L").convert("P")
    picture.putpalette([0, 0, 0, 9, 9, 9])
    return picture, {"transparency": 1}


BLACK = np.zeros_like(COLOUR)
HALF = np.where(RAMP < 128, 0, 255).astype(np.uint8)
"""What a black drawing on the left, transparent elsewhere, is on white."""

Made = Image.Image | tuple[Image.Image, dict]

# name → (ending, picture, what it is in grey, or the error)
KINDS: dict[str, tuple[str, Callable[[], Made], np.ndarray | str]] = {
    "grey": ("png", lambda: Image.fromarray(RAMP), RAMP),
    "grey bmp": ("bmp", lambda: Image.fromarray(RAMP), RAMP),
    "grey tiff": ("tif", lambda: Image.fromarray(RAMP), RAMP),
    "grey webp": ("webp", lambda: (Image.fromarray(RAMP).convert("RGB"), {"lossless": True}), RAMP),
    "grey gif": ("gif", lambda: Image.fromarray(RAMP), RAMP),
    "one bit": ("png", lambda: Image.fromarray(HALF).convert("1"), HALF),
    "colour": ("png", lambda: Image.fromarray(COLOUR), GREY_OF_COLOUR),
    "palette": ("png", lambda: Image.fromarray(RAMP).convert("P"), RAMP),
    "cmyk": ("tif", lambda: Image.fromarray(COLOUR).convert("CMYK"), GREY_OF_COLOUR),
    "16 bits": ("png", lambda: Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP),
    "16 bits tiff": ("tif", lambda: Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP),
    "floats": ("tif", lambda: Image.fromarray(RAMP.astype(np.float32) / 255), RAMP),
    "floats of bytes": ("tif", lambda: Image.fromarray(RAMP.astype(np.float32)), "floats from 0"),
    "NaN": ("tif", lambda: Image.fromarray(RAMP * np.float32(np.nan)), "floats from nan"),
    "32 bits": ("tif", lambda: Image.fromarray(RAMP.astype(np.int32)), "pixels of mode I"),
    "opaque": ("png", lambda: with_alpha(COLOUR, np.full_like(RAMP, 255)), GREY_OF_COLOUR),
    "black on transparency": ("png", lambda: with_alpha(BLACK, 255 - HALF), HALF),
    "grey and alpha": (
        "png",
        lambda: Image.fromarray(np.stack([BLACK[..., 0], 255 - HALF], 2), "LA"),
        HALF,
    ),
    "transparent palette": ("png", transparent_palette, HALF),
    "white on transparency": (
        "png",
        lambda: with_alpha(255 - BLACK, 255 - HALF),
        "nothing is to be seen on white",
    ),
    "upside down": ("jpg", lambda: turned(RAMP, 3), RAMP),
    "turned left": ("jpg", lambda: turned(RAMP, 6), RAMP),
    "turned right": ("png", lambda: turned(RAMP, 8), RAMP),
}


def save(folder: Path, name: str) -> Path:
    ending, make, _ = KINDS[name]
    made = make()
    picture, options = made if isinstance(made, tuple) else (made, {})
    if ending == "jpg":
        options = {**options, "quality": 100, "subsampling": 0}
    folder.mkdir()
    picture.save(folder / f"a.{ending}", **options)
    return folder / f"a.{ending}"


def grey_folder(file: Path) -> np.ndarray:
    source = find_source("mnist")
    images = read_images(file.parent, "mnist").images
    return (images.reshape(SIDE, SIDE) * source.std + source.mean).numpy() * 255


def class_folder(file: Path) -> np.ndarray:
    (pixels,) = Pictures([file], SIDE, torch.device("cpu"))[:].numpy()
    return np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("read", [grey_folder, class_folder])
@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_what_a_viewer_shows(tmp_path, name, read):
    file = save(tmp_path / "pictures", name)
    wanted = KINDS[name][2]
    if isinstance(wanted, str):
        with pytest.raises(InvalidInput, match=f"{re.escape(str(file))}: .*{wanted}"):
            read(file)
    else:
        np.testing.assert_allclose(read(file).astype(float), wanted, atol=3)


def test_files_are_in_the_order_of_their_numbers(tmp_path):
    for number in (0, 1, 2, 10, 11):
        Image.fromarray(np.full((SIDE, SIDE), number, np.uint8)).save(tmp_path / f"x{number}.png")
    found = read_images(tmp_path, "mnist")
    assert found.files == ("x0.png", "x1.png", "x2.png", "x10.png", "x11.png")
    assert (found.images[:, 0].diff() > 0).all()


def test_natural_order():
    names = ["10a", "2", "a", "a10", "a9", "a9b", "A", "010"]
    in_order = ["2", "010", "10a", "A", "a", "a9", "a9b", "a10"]
    assert sorted(names, key=natural_order) == in_order


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
def test_pixels_from_0_to_1_are_normalised_and_a_note_says_so(tmp_path, name, dtype):
    shape = (3, 28, 28) if name == "mnist" else (3, 3, 32, 32)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "bytes.npy", pixels)
    np.save(tmp_path / "unit.npy", (pixels / 255).astype(dtype))
    plain, unit = (read_images(tmp_path / f"{each}.npy", name) for each in ("bytes", "unit"))
    assert torch.equal(unit.images, plain.images)
    assert not plain.note
    assert "unit.npy: numbers from 0 to 1 are taken for pixels" in unit.note
