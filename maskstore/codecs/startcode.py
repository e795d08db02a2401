"""Where a task's scores started, as the first bytes of a stored mask.

A mask says this itself, although its metadata says it too: metadata can be changed.
"""

from maskstore.errors import CorruptArchive, InvalidInput
from maskstore.scores import ScoreStart

_DEFAULT_STREAM = "scores"
_MAX_SEED_BYTES = 8


def put_start(start: ScoreStart) -> bytes | None:
    """The bytes of a start, or None for a seed or a stream that is too long.

    One byte: the length of the seed (0 … 8 bytes, little-endian) times 2, plus 1 if a stream other
    than ``scores`` follows; the seed; then, in that case, the stream's length and UTF-8.
    """
    seed = start.seed.to_bytes((start.seed.bit_length() + 7) // 8, "little")
    stream = start.stream.encode()
    if len(seed) > _MAX_SEED_BYTES or len(stream) > 255:
        return None
    named = start.stream != _DEFAULT_STREAM
    return bytes([2 * len(seed) + named]) + seed + (bytes([len(stream)]) + stream) * named


def take_start(stored: bytes) -> tuple[ScoreStart, bytes]:
    """The start and what comes after it.

    Raises:
        CorruptArchive: no start, or one that :func:`put_start` does not write.
    """
    seed_bytes, named = divmod(stored[0], 2) if stored else (_MAX_SEED_BYTES + 1, 0)
    end = 1 + seed_bytes
    stream_end = end + 1 + stored[end] if named and end < len(stored) else end
    if seed_bytes > _MAX_SEED_BYTES or end + named > len(stored) or stream_end > len(stored):
        raise CorruptArchive("seeded mask: its start is cut off")
    stream = stored[end + 1 : stream_end] if named else _DEFAULT_STREAM.encode()
    try:
        start = ScoreStart(seed=int.from_bytes(stored[1:end], "little"), stream=stream.decode())
    except (InvalidInput, UnicodeDecodeError) as error:
        raise CorruptArchive(f"seeded mask: unusable start ({error})") from error
    return start, stored[stream_end:]
