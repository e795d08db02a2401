"""The bytes of a memory file: HDF5 with the datasets ``/header`` and ``/state`` (docs/hopfield.md).

Everything but the two datasets follows from them, so a reader makes the file again and compares:
no byte of it can be altered unnoticed, and libhdf5 never sees a damaged one.
"""

import hashlib
import struct

from maskstore import hdf5
from maskstore.errors import CorruptArchive, NotAnArchive, UnsupportedVersion

VERSION = 1
MAGIC = b"SUPHOPFD"
_PROLOGUE = 512
_TEXT = 1024
_NUMBERS = struct.Struct("<8sIIQ")


def assemble(text: bytes, state: bytes) -> tuple[bytes, bytes]:
    """The file in two pieces: all before the state, and the state."""
    at = -(-(_TEXT + len(text)) // 8) * 8
    header = hdf5.dataset(hdf5.uint(1), 1, len(text), _TEXT)
    content = hdf5.dataset(hdf5.uint(1), 1, len(state), at)
    start = hdf5.SUPERBLOCK_BYTES
    places = [("header", start), ("state", start + len(header))]
    root = hdf5.group(places, [("format", "supsup-hopfield"), ("version", str(VERSION))])
    head = hdf5.superblock(start + len(header) + len(content), at + len(state))
    view = (head + header + content + root).ljust(_PROLOGUE, b"\0")
    assert len(view) == _PROLOGUE
    numbers = _NUMBERS.pack(MAGIC, VERSION, len(text), len(state))
    digest = hashlib.sha256(text)
    digest.update(state)
    prologue = (numbers + digest.digest()).ljust(_TEXT - _PROLOGUE, b"\0")
    return (view + prologue + text).ljust(at, b"\0"), state


def parts_of(data: bytes, label: str) -> tuple[bytes, bytes]:
    """(text, state) of a whole file.

    Raises:
        NotAnArchive: another kind of file.
        UnsupportedVersion: of another version.
        CorruptArchive: truncated or altered.
    """
    if not data.startswith(hdf5.SIGNATURE) or data[_PROLOGUE : _PROLOGUE + 8] != MAGIC:
        raise NotAnArchive(f"{label}: not a Hopfield memory; `supsup-store encode` makes one")
    if len(data) < _TEXT:
        raise CorruptArchive(f"{label}: truncated: {len(data)} bytes of at least {_TEXT}")
    _, version, text_bytes, state_bytes = _NUMBERS.unpack_from(data, _PROLOGUE)
    if version != VERSION:
        raise UnsupportedVersion(
            f"{label}: Hopfield memory of version {version}, this release knows {VERSION}"
        )
    at = -(-(_TEXT + text_bytes) // 8) * 8
    if len(data) != at + state_bytes:
        raise CorruptArchive(
            f"{label}: expected {at + state_bytes} bytes, found {len(data)}: truncated or altered"
        )
    text, state = data[_TEXT : _TEXT + text_bytes], data[at:]
    if assemble(text, state)[0] != data[:at]:
        raise CorruptArchive(f"{label}: the memory fails its checksum: truncated or altered")
    return text, state
