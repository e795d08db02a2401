"""Mask codecs and the choice between them."""

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.ans import AnsCodec
from maskstore.codecs.base import Codec
from maskstore.codecs.gaps import GapsCodec
from maskstore.codecs.history import HistoryCodec
from maskstore.codecs.knowledge import Prior
from maskstore.codecs.raw import RawCodec
from maskstore.codecs.seeded import SeededCodec
from maskstore.codecs.zstd import ZstdCodec
from maskstore.errors import InvalidInput, UnsupportedVersion

CODECS: tuple[Codec, ...] = (
    RawCodec(),
    ZstdCodec(),
    GapsCodec(),
    AnsCodec(),
    SeededCodec(),
    HistoryCodec(),
)
BY_NAME = {codec.name: codec for codec in CODECS}
BY_ID = {codec.id: codec for codec in CODECS}
PRESETS: dict[str, tuple[Codec, ...]] = {
    "auto": CODECS[:5],
    "fast": CODECS[:3],
    "history": CODECS,
}
"""Sets of codecs of which each mask takes the one that stores it smallest."""


def parse_codec(name: str) -> tuple[Codec, ...]:
    """The codecs to choose among: those of a preset, or the one called ``name``.

    Raises:
        InvalidInput: there is no such codec or preset.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name not in BY_NAME:
        known = ", ".join((*PRESETS, *BY_NAME))
        raise InvalidInput(f"codec {name!r} is unknown; choose one of: {known}")
    return (BY_NAME[name],)


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
    packed: UInt8[np.ndarray, " bytes"], prior: Prior, codecs: tuple[Codec, ...]
) -> tuple[Codec, bytes]:
    """Encode with the codec that stores the mask smallest; ``raw`` where none of them can."""
    best: tuple[Codec, bytes] | None = None
    for codec in codecs:
        stored = codec.encode(packed, prior)
        if stored is not None and (best is None or len(stored) < len(best[1])):
            best = codec, stored
    return best or (BY_NAME["raw"], packed.tobytes())
