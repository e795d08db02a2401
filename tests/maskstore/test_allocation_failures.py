"""The n-th allocation fails, for n after n: an error, and the archive says what the file holds.

``benchmarks/allocations.py`` tries every n.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from maskstore import ArchiveError, MaskArchive, verify
from tests.maskstore.helpers import equal, random_masks
from tests.maskstore.test_interrupts import BEFORE, CHANGES, new_archive

_testcapi = pytest.importorskip("_testcapi", reason="this Python came without its test modules")

SAMPLED = 25


def raises(work: Callable[[], object], at: int) -> bool:
    """Do it while the ``at``-th allocation from now fails; whether it raised.

    Most often it is a MemoryError; parts of Python written in C make others of it.
    """
    _testcapi.set_nomemory(at, at + 1)
    try:
        work()
    except Exception:
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False


def check_change(path: Path, base: bytes, name: str, at: int) -> bool:
    """A change whose ``at``-th allocation fails; whether it raised."""
    change, after = CHANGES[name]
    path.write_bytes(base)
    archive = MaskArchive.open(path, "a", timeout=0)
    raised = raises(lambda: change(archive), at)
    listed = archive.names()
    assert listed in (BEFORE, after), at
    assert raised or listed == after, at
    try:  # the object goes on, or says that it cannot
        archive.add("next", random_masks(9), codec="raw")
        listed = [*listed, "next"]
    except ArchiveError:
        pass
    archive.close()
    with MaskArchive.open(path, "a", timeout=0) as again:
        assert again.names() == listed, at
        assert verify(again) == [], at
    return raised


def check_reading(path: Path, at: int) -> tuple[bool, bool]:
    """Opening, then a mask, whose ``at``-th allocation fails; whether each raised."""
    opened = []
    not_opened = raises(lambda: opened.append(MaskArchive.open(path, "a", timeout=0)), at)
    for each in opened:
        each.close()
    with MaskArchive.open(path, "a", timeout=0) as archive:  # nothing is left locked
        found = []
        not_read = raises(lambda: found.append(archive.get("t/1")), at)
        assert not_read or equal(found[0], random_masks(1))
        assert equal(archive.get("t/1"), random_masks(1))
    return not_opened, not_read


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_changes(tmp_path, name):
    base = new_archive(tmp_path / "a.h5")
    raised = [check_change(tmp_path / "a.h5", base, name, 1 + 7 * at) for at in range(SAMPLED)]
    assert sum(raised) > 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_opening_and_reading(tmp_path):
    new_archive(tmp_path / "a.h5")
    raised = [check_reading(tmp_path / "a.h5", 1 + 3 * at) for at in range(SAMPLED)]
    assert sum(opening for opening, _ in raised) > 3
    assert sum(reading for _, reading in raised) > 3
