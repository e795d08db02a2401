"""Mask codecs and the choice between them."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.base import Codec
from maskstore.codecs.raw import RawCodec
from maskstore.codecs.zstd import ZstdCodec
from maskstore.errors import InvalidInput, UnsupportedVersion
from maskstore.layout import MaskLayout

CODECS: tuple[Codec, ...] = (RawCodec(), ZstdCodec())
BY_NAME = {codec.name: codec for codec in CODECS}
BY_ID = {codec.id: codec for codec in CODECS}


def parse_codec(name: str) -> Codec | None:
    """The codec called ``name``; None for ``"auto"``.

    Raises:
        InvalidInput: there is no such codec.
    """
    if name == "auto":
        return None
    if name not in BY_NAME:
        raise InvalidInput(f"codec {name!r} is unknown; choose one of: auto, {', '.join(BY_NAME)}")
    return BY_NAME[name]


def codec_of_id(number: int) -> Codec:
    """The codec with that number in the file.

    Raises:
        UnsupportedVersion: this release does not know it.
    """
    if number not in BY_ID:
        raise UnsupportedVersion(
            f"codec number {number} is unknown to this release "
            f"(it knows {', '.join(BY_NAME)}); read the archive with a newer supsup-store"
        )
    return BY_ID[number]


def encode(
    packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout, codec: Codec | None
) -> tuple[Codec, bytes]:
    """Encode with ``codec``, or with the smallest where it is None or can not hold the mask."""
    candidates = CODECS if codec is None else (codec,)
    encoded = [(each, each.encode(packed, layout)) for each in candidates]
    fitting = [(each, stored) for each, stored in encoded if stored is not None]
    if not fitting:
        return BY_NAME["raw"], packed.tobytes()
    return min(fitting, key=lambda item: len(item[1]))
