"""The scores behind an archive's masks, added up in a file beside it: transfer goes on with them.

An archive keeps masks, and no mask tells the scores that it was made of. So ``a.h5.scores`` keeps
their sum (safetensors: 4 bytes a weight), together with a digest of the masks that it belongs to.
The sum with the next task's scores is made durable under another name before that task's mask is
appended, and takes the first one's place afterwards: whenever the training is killed, one of the
two files fits the archive. Only training looks at them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidInput
from maskstore.layout import sha256_of_bits
from maskstore.storage.atomic import write_file
from supsup.training.outcome import TrainedMask
from supsup.training.transfer import EarlierScores

_HEADER_BYTES = 4096
"""More than the file has beside the numbers."""


class ScoreSums:
    """The sum of the scores of all tasks of an archive.

    Attributes:
        earlier: those sums, for :func:`supsup.train`.
    """

    earlier: EarlierScores

    def __init__(self, archive: MaskArchive) -> None:
        """Begin with what is kept, with zeros for an empty archive.

        Raises:
            InvalidInput: nothing is kept that belongs to the archive.
        """
        self._archive = archive
        path = Path(archive.path)
        self._path = path.with_name(f"{path.name}.scores")
        self._next = path.with_name(f"{path.name}.scores.next")
        self._masks = hashlib.sha256()
        for task in archive:
            self._masks.update(bytes.fromhex(task.sha256))
        bits, count = archive.layout.bits, len(archive)
        if not count:
            self.earlier = EarlierScores(total=np.zeros(bits, np.float32), count=0)
            return
        for candidate in (self._path, self._next):
            total = _read(candidate, bits, self._masks.hexdigest())
            if total is not None:
                self.earlier = EarlierScores(total=total, count=count)
                return
        raise InvalidInput(
            f"{archive.path}: transfer of scores goes on with the scores of its {count} tasks, and "
            f"{self._path} {'does not hold those' if self._path.exists() else 'is not there'}; "
            "train all tasks into another archive, or take --transfer masks"
        )

    @contextmanager
    def adding(self, trained: TrainedMask) -> Iterator[None]:
        """Keep the scores of one task more, which is appended to the archive meanwhile.

        Raises:
            ArchiveWriteError: the system refuses.
        """
        assert trained.scores is not None
        total = self.earlier.and_those(trained.scores)
        self._masks.update(sha256_of_bits(self._archive.layout.pack(trained.masks)))
        about = {"masks": self._masks.hexdigest(), "sha256": _digest(total.total)}
        write_file(self._next, save({"total": total.total}, about))
        yield
        try:
            self._next.replace(self._path)
        except OSError as error:
            raise ArchiveWriteError(f"{self._path}: cannot write: {error}") from error
        self.earlier = total


def _read(path: Path, bits: int, masks: str) -> Float32[np.ndarray, " bits"] | None:
    """The sum in a file; None where it is missing, damaged, or not of those masks."""
    try:
        if path.stat().st_size > 4 * bits + _HEADER_BYTES:
            return None
        with safe_open(path, "numpy") as file:
            about, total = file.metadata() or {}, file.get_tensor("total")
    except (OSError, SafetensorError):
        return None
    whole = total.dtype == np.float32 and total.shape == (bits,)
    if not whole or about.get("masks") != masks or about.get("sha256") != _digest(total):
        return None
    return total


def _digest(total: Float32[np.ndarray, " bits"]) -> str:
    return hashlib.sha256(total.tobytes()).hexdigest()
