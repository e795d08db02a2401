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
from maskstore.registry import Registry, did_you_mean

CODECS: tuple[Codec, ...] = (
    RawCodec(),
    ZstdCodec(),
    GapsCodec(),
    AnsCodec(),
    SeededCodec(),
    HistoryCodec(),
)
BY_NAME = Registry("codec", {codec.name: codec for codec in CODECS})
BY_ID = {codec.id: codec for codec in CODECS}
PRESETS: dict[str, tuple[Codec, ...]] = {
    "auto": CODECS[:5],
    "fast": CODECS[:3],
    "history": CODECS,
}
"""Sets of codecs of which each mask takes the one that stores it smallest."""

FIRST_PRIVATE_ID = 192
"""Numbers from here on are for codecs that do not ship here."""


def register_codec(codec: Codec) -> None:
    """Let archives of this process be written and read with another codec, by its name.

    An archive with such a mask says its number to a release without it, which refuses just that
    mask. Numbers from :data:`FIRST_PRIVATE_ID` are never given out here.

    Raises:
        InvalidInput: its name or its number is taken, or is none that a file can hold.
    """
    if codec.name in PRESETS:
        raise InvalidInput(f"codec {codec.name!r}: there is a preset of that name already")
    if not FIRST_PRIVATE_ID <= codec.id <= 255:
        raise InvalidInput(
            f"codec {codec.name!r}: expected a number from {FIRST_PRIVATE_ID} to 255, "
            f"got {codec.id!r}; the others are given out in docs/format.md"
        )
    if codec.id in BY_ID:
        raise InvalidInput(
            f"codec {codec.name!r}: number {codec.id} is that of codec {BY_ID[codec.id].name!r}"
        )
    BY_NAME.register(codec.name, codec)
    BY_ID[codec.id] = codec


def parse_codec(name: str) -> tuple[Codec, ...]:
    """The codecs to choose among: those of a preset, or the one called ``name``.

    Raises:
        InvalidInput: there is no such codec or preset.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name not in BY_NAME:
        known = tuple(dict.fromkeys((*PRESETS, *BY_NAME)))  # some name both
        raise InvalidInput(
            f"codec {name!r} is unknown; choose one of: {', '.join(known)}"
            + did_you_mean(name, known)
        )
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
