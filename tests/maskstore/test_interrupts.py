"""Ctrl-C between any two instructions of a change, its traceback kept, as a notebook keeps it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from maskstore import ArchiveError, MaskArchive, compact, verify
from maskstore.testing import instructions, interrupted
from tests.maskstore.helpers import random_masks

LAYOUT = {name: layer.shape for name, layer in random_masks(0).items()}
BEFORE = ["t/0", "t/1", "t/2"]

Change = Callable[[MaskArchive], object]


def in_a_block(archive: MaskArchive) -> None:
    with archive.transaction():
        archive.add("a", random_masks(5), codec="raw")
        archive.add("b", random_masks(6), codec="raw")


def inside_another(archive: MaskArchive) -> None:
    with archive.transaction():
        in_a_block(archive)


MANY = [f"m/{at}" for at in range(20)]


def many(archive: MaskArchive) -> None:
    """More than there is room for: a new extent."""
    archive.add_many(((name, random_masks(7), {}) for name in MANY), codec="raw")


CHANGES: dict[str, tuple[Change, list[str]]] = {
    "add": (lambda archive: archive.add("a", random_masks(5), codec="raw"), [*BEFORE, "a"]),
    "a block": (in_a_block, [*BEFORE, "a", "b"]),
    "a block in another": (inside_another, [*BEFORE, "a", "b"]),
    "add_many": (many, [*BEFORE, *MANY]),
    "remove": (lambda archive: archive.remove("t/1"), ["t/0", "t/2"]),
    "rename": (lambda archive: archive.rename("t/1", "u"), ["t/0", "u", "t/2"]),
    "update": (lambda archive: archive.update("t/1", {"x": 1}), BEFORE),
    "compact": (compact, BEFORE),
}
"""A change, and the names after it."""


SAMPLED = 8
"""Instructions of a change at which it is interrupted here; benchmarks/interrupts.py takes all."""


def count(path: Path, change: Change) -> int:
    """The instructions of a change, on an archive of its own."""
    with MaskArchive.open(path, "a") as archive:
        return instructions(lambda: change(archive))


def check(path: Path, base: bytes, name: str, at: int) -> BaseException | None:
    """Interrupt a change at one instruction and use the archive on; what was raised."""
    change, after = CHANGES[name]
    path.write_bytes(base)
    archive = MaskArchive.open(path, "a")
    stopped = interrupted(lambda: change(archive), at)
    listed = archive.names()
    assert listed in (BEFORE, after), at
    # The object goes on, or says that it cannot; it never pretends.
    try:
        archive.add("next", random_masks(9), codec="raw")
        listed = [*listed, "next"]
    except ArchiveError:
        pass
    archive.close()
    with MaskArchive.open(path, "a", timeout=0) as again:
        assert again.names() == listed, at
        assert verify(again) == [], at
    return stopped


def new_archive(path: Path) -> bytes:
    """Its bytes; a file for changes to be made to."""
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((each, random_masks(at), {}) for at, each in enumerate(BEFORE))
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_the_archive_says_what_the_file_holds(tmp_path, name):
    path = tmp_path / "a.h5"
    base = new_archive(path)
    places = count(path, CHANGES[name][0])
    kept = [check(path, base, name, 1 + at * places // SAMPLED + at % 7) for at in range(SAMPLED)]
    assert sum(isinstance(each, KeyboardInterrupt) for each in kept) > SAMPLED // 2
