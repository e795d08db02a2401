"""What a task may be called and what may be kept with it."""

import json
from collections.abc import Mapping
from typing import Any

from maskstore.errors import InvalidInput, InvalidName
from maskstore.format import MAX_METADATA_BYTES, MAX_NAME_BYTES


def parse_name(name: object) -> bytes:
    """A task name as UTF-8.

    Raises:
        InvalidName: not text, empty, over ``MAX_NAME_BYTES`` bytes, or not printable.
    """
    if not isinstance(name, str):
        raise InvalidName(f"task name: expected text, got {type(name).__name__}")
    if not name:
        raise InvalidName("task name: expected 1 to 255 bytes of UTF-8, got an empty name")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"task name {name[:80]!a}: not valid UTF-8") from None
    if len(encoded) > MAX_NAME_BYTES:
        raise InvalidName(
            f"task name {name[:20]!a}…: expected at most {MAX_NAME_BYTES} bytes of UTF-8, "
            f"got {len(encoded)}"
        )
    if not name.isprintable():
        raise InvalidName(f"task name {name!a}: control characters are not allowed")
    return encoded


def parse_metadata(name: str, metadata: Mapping[str, Any]) -> bytes:
    """Metadata as JSON bytes (empty for an empty mapping).

    Raises:
        InvalidInput: not a mapping, not JSON (NaN included), or over ``MAX_METADATA_BYTES``.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidInput(
            f"metadata of task {name!r}: expected a mapping, got {type(metadata).__name__}"
        )
    if not metadata:
        return b""
    try:
        text = json.dumps(dict(metadata), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"metadata of task {name!r}: must be JSON ({error})") from error
    if len(text) > MAX_METADATA_BYTES:
        raise InvalidInput(
            f"metadata of task {name!r}: {len(text)} bytes of JSON, "
            f"at most {MAX_METADATA_BYTES} are possible"
        )
    return text
