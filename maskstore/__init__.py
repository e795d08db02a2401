"""Bit-packed, compressed, crash-safe HDF5 archives of supermasks. Never imports torch.

>>> mask = {"fc.weight": np.eye(4, dtype=bool)}
>>> with MaskArchive.create("first.h5", {"fc.weight": (4, 4)}) as archive:
...     stored = archive.add("diagonal", mask, {"note": "by hand"})
>>> stored.ones, stored.metadata
(4, {'note': 'by hand'})
>>> with MaskArchive.open("first.h5") as archive:
...     archive.names(), bool((archive.get("diagonal")["fc.weight"] == np.eye(4)).all())
(['diagonal'], True)
"""

import sys

if sys.platform == "win32":
    raise ImportError(
        "maskstore: Windows is not supported: archives are read, locked and synced by calls of "
        "POSIX systems; under WSL, which is Linux, it runs",
        name="maskstore",
    )

from maskstore._verify import verify
from maskstore.archive import MaskArchive
from maskstore.errors import (
    ArchiveClosed,
    ArchiveError,
    ArchiveExists,
    ArchiveLocked,
    ArchiveNotFound,
    ArchiveWriteError,
    CorruptArchive,
    DigestMismatch,
    InvalidInput,
    InvalidMask,
    InvalidName,
    LayoutMismatch,
    NotAnArchive,
    SupsupError,
    TaskExists,
    TaskNotFound,
    UnsupportedVersion,
)
from maskstore.layout import MaskLayout
from maskstore.maintenance import compact, merge, repair
from maskstore.packed import PackedMasks, StoredTask
from maskstore.stats import ArchiveStats, archive_stats
from maskstore.tensors import BFloat16, TensorInfo

__all__ = [
    "ArchiveClosed",
    "ArchiveError",
    "ArchiveExists",
    "ArchiveLocked",
    "ArchiveNotFound",
    "ArchiveStats",
    "ArchiveWriteError",
    "BFloat16",
    "CorruptArchive",
    "DigestMismatch",
    "InvalidInput",
    "InvalidMask",
    "InvalidName",
    "LayoutMismatch",
    "MaskArchive",
    "MaskLayout",
    "NotAnArchive",
    "PackedMasks",
    "StoredTask",
    "SupsupError",
    "TaskExists",
    "TaskNotFound",
    "TensorInfo",
    "UnsupportedVersion",
    "archive_stats",
    "compact",
    "merge",
    "repair",
    "verify",
]
