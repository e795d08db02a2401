"""What a task may be called, and what is kept with it, as the bytes of a row's text."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from maskstore.errors import CorruptArchive, InvalidInput, InvalidName
from maskstore.storage.format import MAX_METADATA_BYTES, MAX_NAME_BYTES

MAX_METADATA_DEPTH = 64
"""Every JSON reader takes this deep a nesting, whatever called it."""

# JSON never begins with a zero byte.
_DEFLATED = b"\0"


def parse_name(name: object, what: str = "task name") -> bytes:
    """The name of a task, or of something else in an archive, as UTF-8.

    Raises:
        InvalidName: not text, empty, over ``MAX_NAME_BYTES`` bytes, or not printable.
    """
    if not isinstance(name, str):
        raise InvalidName(f"{what}: expected text, got {type(name).__name__}")
    if not name:
        raise InvalidName(f"{what}: expected 1 to 255 bytes of UTF-8, got an empty name")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"{what} {name[:80]!a}: not valid UTF-8") from None
    if len(encoded) > MAX_NAME_BYTES:
        raise InvalidName(
            f"{what} {name[:20]!a}…: expected at most {MAX_NAME_BYTES} bytes of UTF-8, "
            f"got {len(encoded)}"
        )
    if not name.isprintable():
        raise InvalidName(f"{what} {name!a}: control characters are not allowed")
    return encoded


def encode_metadata(name: str, metadata: Mapping[str, Any], example: bytes) -> bytes:
    """Metadata as stored: JSON, or what differs from the archive's example if that is shorter.

    Trained masks of one archive share most of their metadata, hundreds of bytes beside a mask that
    may be hundreds of bytes itself.

    Args:
        example: JSON of typical metadata, from the archive's header; may be empty.

    Raises:
        InvalidInput: not a mapping, not JSON (NaN included), or over ``MAX_METADATA_BYTES``.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidInput(
            f"metadata of task {name!r}: expected a mapping, got {type(metadata).__name__}"
        )
    if not metadata:
        return b""
    if _depth(dict(metadata), MAX_METADATA_DEPTH) > MAX_METADATA_DEPTH:
        raise InvalidInput(
            f"metadata of task {name!r}: nested deeper than {MAX_METADATA_DEPTH} levels"
        )
    text = encode_json(f"metadata of task {name!r}", dict(metadata))
    if len(text) > MAX_METADATA_BYTES:
        raise InvalidInput(
            f"metadata of task {name!r}: {len(text)} bytes of JSON, "
            f"at most {MAX_METADATA_BYTES} are possible"
        )
    if not example:
        return text
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=example)
    short = _DEFLATED + compressor.compress(text) + compressor.flush()
    return min(text, short, key=len)


def decode_metadata(stored: bytes, example: bytes) -> dict[str, Any]:
    """The inverse of :func:`encode_metadata`; raises CorruptArchive on anything else."""
    if not stored:
        return {}
    try:
        if stored[:1] == _DEFLATED:
            decompressor = zlib.decompressobj(-15, zdict=example)
            text = decompressor.decompress(stored[1:], MAX_METADATA_BYTES)
        else:
            text = stored
        metadata = json.loads(text, parse_constant=reject_constant)
    except (zlib.error, ValueError, RecursionError) as error:
        raise CorruptArchive(f"metadata is not JSON ({error})") from error
    if not isinstance(metadata, dict):
        raise CorruptArchive("metadata is not a JSON object")
    return metadata


def reject_constant(name: str) -> None:
    """Raise ValueError for NaN and the infinities, which Python reads and JSON has not."""
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any, limit: int) -> int:
    """Levels of nesting, counted up to one more than ``limit``."""
    if limit < 0 or not isinstance(value, dict | list | tuple):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(each, limit - 1) for each in inner), default=0)


def encode_json(what: str, value: Any) -> bytes:
    """Compact JSON; raises InvalidInput, which begins with ``what``, if it cannot be."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{what}: must be JSON ({error})") from error


def identity_of(header: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the headers of archives must have in common for their masks to share one.

    Which file trained weights came from is no part of it: the digest is of their values.
    """
    backbone = header.get("backbone")
    if isinstance(backbone, dict) and isinstance(file := backbone.get("weights"), dict):
        backbone = backbone | {"weights": file.get("parameters")}
    return header.get("layout"), backbone, header.get("weights_digest")
