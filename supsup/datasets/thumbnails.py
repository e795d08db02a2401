"""A few images in a row, as a notebook shows them beside what holds them."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from torch import Tensor

COUNT = 10
"""Images in a row."""


def row_of(images: Tensor) -> str:
    """The first images beside each other, as an ``img`` element that needs no file; empty for what
    is no image.

    Args:
        images: (n, height, width) or (n, channel, height, width), of one channel or three; of any
            numbers, of which the least is drawn black and the greatest white.
    """
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or not len(images) or images.shape[1] not in (1, 3):
        return ""
    pixels = images[:COUNT].detach().cpu().double().numpy()
    low, high = np.nanmin(pixels), np.nanmax(pixels)
    scaled = np.nan_to_num(255 * (pixels - low) / max(high - low, 1e-9))
    row = np.concatenate(list(scaled.astype(np.uint8)), axis=-1).transpose(1, 2, 0)
    from PIL import Image  # 16 modules, for notebooks alone

    buffer = BytesIO()
    Image.fromarray(row.squeeze(-1) if row.shape[-1] == 1 else row).save(buffer, "PNG")
    picture = b64encode(buffer.getvalue()).decode()
    return f'<img alt="the first images" src="data:image/png;base64,{picture}">'
