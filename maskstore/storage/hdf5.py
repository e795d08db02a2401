"""The few HDF5 structures that an archive is made of, written byte for byte.

libhdf5 rewrites its metadata in place, so a crash in mid-write can leave a file that nothing
opens. An archive needs only superblock version 2, compact groups and contiguous datasets, all of
fixed size once the datasets' addresses are known; writing them ourselves makes the switch from one
committed state to the next a single 48-byte write (see docs/format.md). libhdf5 stays the
reference: the tests and ``verify`` read every archive with it.

Source: HDF5 File Format Specification, version 3.0 (sections II.A, IV.A.1-2).
"""

import struct
from collections.abc import Sequence

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 48
_UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
_MASK32 = 0xFFFF_FFFF


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 ``hashlittle`` with seed 0: HDF5's metadata checksum."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK32
    if not data:
        return c
    # The last block (1 to 12 bytes) gets the final mix; zero padding does not change it.
    words = struct.unpack(f"<{(len(data) + 11) // 12 * 3}I", data + bytes(-len(data) % 12))
    for i in range(0, len(words) - 3, 3):
        a = (a + words[i]) & _MASK32
        b = (b + words[i + 1]) & _MASK32
        c = (c + words[i + 2]) & _MASK32
        a = ((a - c) ^ (c << 4 | c >> 28)) & _MASK32
        c = (c + b) & _MASK32
        b = ((b - a) ^ (a << 6 | a >> 26)) & _MASK32
        a = (a + c) & _MASK32
        c = ((c - b) ^ (b << 8 | b >> 24)) & _MASK32
        b = (b + a) & _MASK32
        a = ((a - c) ^ (c << 16 | c >> 16)) & _MASK32
        c = (c + b) & _MASK32
        b = ((b - a) ^ (a << 19 | a >> 13)) & _MASK32
        a = (a + c) & _MASK32
        c = ((c - b) ^ (b << 4 | b >> 28)) & _MASK32
        b = (b + a) & _MASK32
    a = (a + words[-3]) & _MASK32
    b = (b + words[-2]) & _MASK32
    c = (c + words[-1]) & _MASK32
    c = ((c ^ b) - (b << 14 | b >> 18)) & _MASK32
    a = ((a ^ c) - (c << 11 | c >> 21)) & _MASK32
    b = ((b ^ a) - (a << 25 | a >> 7)) & _MASK32
    c = ((c ^ b) - (b << 16 | b >> 16)) & _MASK32
    a = ((a ^ c) - (c << 4 | c >> 28)) & _MASK32
    b = ((b ^ a) - (a << 14 | a >> 18)) & _MASK32
    return ((c ^ b) - (b << 24 | b >> 8)) & _MASK32


def _with_checksum(data: bytes) -> bytes:
    return data + struct.pack("<I", lookup3(data))


def superblock(root: int, end_of_file: int) -> bytes:
    """Superblock version 2 (48 bytes) pointing at the root group's object header."""
    return _with_checksum(
        SIGNATURE + struct.pack("<4B4Q", 2, 8, 8, 0, 0, _UNDEFINED, end_of_file, root)
    )


def is_superblock(data: bytes) -> bool:
    """Whether ``data`` is a superblock version 2 whose checksum holds."""
    return (
        len(data) == SUPERBLOCK_BYTES
        and data.startswith(SIGNATURE + b"\x02")
        and _with_checksum(data[:-4]) == data
    )


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BHB", kind, len(body), 0) + body


def _object_header(messages: Sequence[bytes]) -> bytes:
    body = b"".join(messages)
    return _with_checksum(b"OHDR" + struct.pack("<BBI", 2, 0x02, len(body)) + body)


def group(links: Sequence[tuple[str, int]], attributes: Sequence[tuple[str, str]] = ()) -> bytes:
    """Object header of a compact group: (ASCII name, object header address) per link."""
    messages = [
        _message(0x02, struct.pack("<BBQQ", 0, 0, _UNDEFINED, _UNDEFINED)),
        _message(0x0A, bytes(2)),
    ]
    for name, address in links:
        body = struct.pack("<BBB", 1, 0, len(name)) + name.encode("ascii")
        messages.append(_message(0x06, body + struct.pack("<Q", address)))
    messages += [_message(0x0C, _string_attribute(*item)) for item in attributes]
    return _object_header(messages)


def _string_attribute(name: str, value: str) -> bytes:
    encoded = value.encode("ascii")
    label = name.encode("ascii") + b"\0"
    # Class 3 (string), null-padded, ASCII; a scalar dataspace.
    datatype = struct.pack("<4BI", 0x13, 1, 0, 0, len(encoded))
    dataspace = struct.pack("<4B", 2, 0, 0, 0)
    sizes = struct.pack("<BBHHHB", 3, 0, len(label), len(datatype), len(dataspace), 0)
    return sizes + label + datatype + dataspace + encoded


def uint(size: int) -> bytes:
    """Datatype message of a little-endian unsigned integer of ``size`` bytes."""
    return struct.pack("<4BIHH", 0x10, 0, 0, 0, size, 0, 8 * size)


def byte_array(length: int) -> bytes:
    """Datatype message of an array of ``length`` unsigned bytes."""
    return struct.pack("<4BIBI", 0x3A, 0, 0, 0, length, 1, length) + uint(1)


def compound(members: Sequence[tuple[str, int, bytes]], size: int) -> bytes:
    """Datatype message of a compound (under 256 bytes): (name, offset, datatype) per member."""
    body = struct.pack("<BHBI", 0x36, len(members), 0, size)
    for name, offset, datatype in members:
        body += name.encode("ascii") + b"\0" + struct.pack("<B", offset) + datatype
    return body


def dataset(datatype: bytes, item_bytes: int, count: int, address: int) -> bytes:
    """Object header of a contiguous one-dimensional dataset.

    Its length in bytes does not depend on ``count`` or ``address``.
    """
    place = address if count else _UNDEFINED
    return _object_header(
        [
            _message(0x01, struct.pack("<4BQ", 2, 1, 0, 1, count)),
            _message(0x03, datatype),
            # Fill value version 3: late allocation, never written, undefined.
            _message(0x05, bytes([3, 0x06])),
            # Layout version 3, contiguous. libhdf5 refuses an empty dataset that has an address.
            _message(0x08, struct.pack("<BBQQ", 3, 1, place, count * item_bytes)),
        ]
    )
