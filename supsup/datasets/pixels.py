"""The pixels of a picture as 8-bit grey or colour, as a viewer shows it, whatever its file keeps.

Pillow's own ``convert`` drops what 8 bits do not hold: 16-bit grey turns white, floats of 0 to 1
black, transparency becomes whatever colour lies under it, and the camera's orientation is left out.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from maskstore.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

Mode = Literal["L", "RGB"]
"""Grey or colour."""

_PLAIN = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV", "RGBX")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_16_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_OF_16_BITS = ("PNG", "PPM")
"""Formats whose 16 bits Pillow may hand over in 32."""


def plain_picture(picture: "Image.Image", mode: Mode, path: Path) -> "Image.Image":
    """A picture as its camera held it, on white where it is transparent.

    Args:
        picture: opened; its pixels are decoded here.
        mode: what to make of it.
        path: for errors.

    Raises:
        InvalidInput: pixels whose range the file does not tell, or that vanish on white.
    """
    from PIL import ImageOps  # Pillow is loaded by the first picture

    turned = ImageOps.exif_transpose(picture)
    if turned.mode in _ALPHA or (turned.mode in _PLAIN and "transparency" in turned.info):
        return _on_white(turned, path).convert(mode)
    if turned.mode in _PLAIN:
        return turned.convert(mode)
    if turned.mode in _16_BITS or (turned.mode == "I" and picture.format in _OF_16_BITS):
        return _from_unit(np.asarray(turned).astype(np.float64) / 65535).convert(mode)
    if turned.mode == "F":
        values = np.asarray(turned).astype(np.float64)
        if not (values.min() >= 0 and values.max() <= 1):
            raise InvalidInput(
                f"{path}: floats from {values.min():g} to {values.max():g}, expected 0 (black) to "
                "1 (white); scale them, or save 8 or 16 bits"
            )
        return _from_unit(values).convert(mode)
    raise InvalidInput(
        f"{path}: pixels of mode {turned.mode}, which do not say what is white; "
        "save it with 8 or 16 bits"
    )


def _from_unit(values: np.ndarray) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(np.rint(255 * values).astype(np.uint8))


def _on_white(picture: "Image.Image", path: Path) -> "Image.Image":
    """What a viewer shows of a picture with transparent pixels."""
    from PIL import Image

    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    shown = Image.alpha_composite(white, picture).convert("RGB")
    alpha, pixels = np.asarray(picture)[..., 3], np.asarray(shown)
    if (alpha != alpha[0, 0]).any() and (pixels == pixels[0, 0]).all():
        raise InvalidInput(
            f"{path}: of its transparent drawing nothing is to be seen on white; save it on the "
            "background that it is meant for"
        )
    return shown
