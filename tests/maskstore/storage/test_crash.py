"""Power loss at every write and sync of a workload: the archive is as before or after, by itself.

``benchmarks/crash_points.py`` runs the same check with more of everything.
"""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from maskstore import ArchiveWriteError, MaskArchive
from maskstore._verify import verify
from maskstore.storage.format import SECTOR, SLOT_OFFSETS, Slot
from maskstore.storage.store import Store
from maskstore.testing import ErringDevice, MemoryDevice, Sync, power_losses
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors

HEADER = {"layout": LAYOUT.to_json()}
PATH = Path("memory.h5")


def state_of(archive) -> dict:
    """Every task with its place, its mask and all that belongs to it; then the shared tensors."""
    state = {
        task.name: (
            archive.get_packed(task.name).tobytes(),
            task.metadata,
            task.index,
            bytes_of(archive.tensors(task.name)),
        )
        for task in archive
    }
    return state | {
        ("shared", name): bytes_of(archive.shared_tensors(name)) for name in archive.shared
    }


def bytes_of(tensors) -> dict:
    return {name: (str(array.dtype), array.tobytes()) for name, array in tensors.items()}


def recorded_workload(transactions: int, version: int = 1):
    """(device, [(operations done, state)]) of a writer that adds, removes and changes.

    Version 2 comes in the middle: three transactions of version 1, then tensors, renames and all.
    """
    device = MemoryDevice()
    archive = MaskArchive(Store.create(device, HEADER, "memory"), PATH)
    committed = [(len(device.trace), state_of(archive))]
    rng = random.Random(1)
    for number in range(transactions):
        kinds = ["add", "add", "many", "remove", "update"]
        if version == 2 and number >= 3:
            kinds += ["tensors", "tensors", "set", "rename", "shared"]
        kind = rng.choice(kinds) if version == 1 or number != 3 else "tensors"
        names = archive.names()
        if kind == "tensors":
            archive.add(f"add/{number}", random_masks(number), tensors=random_tensors(number))
        elif kind == "set" and names:
            archive.set_tensors(rng.choice(names), random_tensors(number) if number % 2 else {})
        elif kind == "rename" and names:
            archive.rename(rng.choice(names), f"renamed/{number}")
        elif kind == "shared":
            archive.set_shared_tensors(f"set {number % 2}", random_tensors(number))
        elif kind == "many":
            archive.add_many(
                (f"many/{number}/{i}", random_masks(i), {"i": i})
                for i in range(rng.choice([3, 30]))
            )
        elif kind == "remove" and names:
            archive.remove(rng.choice(names))
        elif kind == "update" and names:
            archive.update(rng.choice(names), {"number": number})
        else:
            archive.add(f"add/{number}", random_masks(number), {"text": "x" * rng.randrange(300)})
        committed.append((len(device.trace), state_of(archive)))
    return device, committed


def check_every_crash_point(
    transactions: int,
    samples: int,
    stride: int = 1,
    version: int = 1,
    look: Callable[[bytes, list[dict], str], None] | None = None,
) -> dict[str, int]:
    """Count the crash states tried, by kind; raises AssertionError at the first violation.

    Args:
        look: checks the content of each, given the states allowed, too.
    """
    device, committed = recorded_workload(transactions, version)
    tried: dict[str, int] = {}
    start = committed[0][0]
    for done, kind, content in power_losses(
        device.trace, start=start, stride=stride, samples=samples
    ):
        # A commit that returned must be there; one in flight may be.
        last = max(at for at, (ops, _) in enumerate(committed) if ops <= done)
        allowed = [state for _, state in committed[last : last + 2]]
        tried[kind] = tried.get(kind, 0) + 1
        where = f"{kind} after {done} operations"
        check_one_crash(content, allowed, where)
        if look is not None:
            look(content, allowed, where)
    return tried


def check_one_crash(content: bytes, allowed: list[dict], where: str) -> None:
    with h5py.File(io.BytesIO(content), "r") as file:  # for HDF5 tools, even before recovery
        assert file["00000/index"].shape is not None, where
    reader = MaskArchive(Store(MemoryDevice(content), "memory"), PATH)
    assert state_of(reader) in allowed, where
    assert verify(reader) == [], where
    device = MemoryDevice(content)
    store = Store(device, "memory")
    store.recover()
    writer = MaskArchive(store, PATH)
    assert state_of(writer) == state_of(reader), where
    slots = [Slot.decode(device.read(offset, SECTOR)) for offset in SLOT_OFFSETS]
    # No release of version 1 may find an older state than this.
    assert {slot.version for slot in slots if slot} == {store.slot.version}, where
    assert verify(writer) == [], where
    writer.add("after the crash", random_masks(1))
    with h5py.File(io.BytesIO(device.content), "r") as file:
        rows = sum(len(file[key]["index"]) for key in file if key.isdigit())
    assert rows == writer.store.total_rows, where


@pytest.mark.parametrize("version", [1, 2])
def test_power_loss_at_every_operation(version):
    tried = check_every_crash_point(transactions=12, samples=2, version=version)
    assert sum(tried.values()) > 500
    assert {"prefix", "none", "dropped", "reordered", "torn at 512", "torn at 4096"} == set(tried)


def test_the_check_finds_a_missing_sync(monkeypatch):
    """Without the barrier before the commit slot the same check must fail."""
    real = MemoryDevice.sync
    calls = []

    def every_other(self):
        calls.append(self)
        if len(calls) % 2 == 0:
            real(self)

    monkeypatch.setattr(MemoryDevice, "sync", every_other)
    with pytest.raises((AssertionError, Exception)):
        check_every_crash_point(transactions=6, samples=4)


@pytest.mark.parametrize("for_good", [False, True])
def test_a_refused_write_or_sync_at_every_position(for_good):
    source, committed = recorded_workload(6)
    before = bytes(source.content)
    state = committed[-1][1]
    failures = 0
    for fail_at in range(1, 200):
        device = ErringDevice(before, fail_at, for_good=for_good, reads=False)
        archive = MaskArchive(Store(device, "memory"), PATH)
        try:
            archive.add_many((f"new/{i}", random_masks(i), {}) for i in range(40))
        except ArchiveWriteError:
            failures += 1
        else:
            break
        if not for_good:
            assert bytes(device.content) == before
            archive.add_many((f"new/{i}", random_masks(i), {}) for i in range(40))
            assert len(archive) == len(state) + 40
        # Even a device that fails for good leaves a sound file to the next process.
        found = state_of(MaskArchive(Store(MemoryDevice(bytes(device.content)), "m"), PATH))
        assert {name: found[name] for name in state} == state
        assert len(found) in (len(state), len(state) + 40)
    assert 4 < failures < 150


def test_an_interrupt_during_a_commit(monkeypatch):
    source, committed = recorded_workload(4)
    for at in (1, 2):
        device = MemoryDevice(bytes(source.content))
        archive = MaskArchive(Store(device, "memory"), PATH)
        calls = []

        def sync(self, calls=calls, at=at):
            calls.append(1)
            MemoryDevice._do(self, Sync())
            if len(calls) == at:
                raise KeyboardInterrupt

        monkeypatch.setattr(MemoryDevice, "sync", sync)
        with pytest.raises(KeyboardInterrupt):
            archive.add("new", random_masks(3))
        monkeypatch.undo()
        # Before the switch it is as if nothing had been; after it the commit is finished.
        assert ("new" in archive) == (at == 2)
        assert {name: state_of(archive)[name] for name in committed[-1][1]} == committed[-1][1]
        archive.add("next", random_masks(3))
        found = MaskArchive(Store(device, "memory"), PATH)
        assert ("new" in found) == (at == 2)
        assert "next" in found


def test_a_refused_write_or_sync_while_the_version_changes():
    """The first tensors of a file: all of it or nothing, whichever operation is refused."""
    source, committed = recorded_workload(3)
    before, state = bytes(source.content), committed[-1][1]
    outcomes = []
    for number in range(200):
        fail_at, for_good = 1 + number // 2, bool(number % 2)
        device = ErringDevice(before, fail_at, for_good=for_good, reads=False)
        archive = MaskArchive(Store(device, "memory"), PATH)
        try:
            archive.add("new", random_masks(0), tensors=random_tensors(0))
            outcomes.append("committed")
        except ArchiveWriteError:
            outcomes.append("refused")
            assert for_good or bytes(device.content) == before
        if device.left > 0:
            break
        found = MaskArchive(Store(MemoryDevice(bytes(device.content)), "m"), PATH)
        if outcomes[-1] == "committed" or "new" in found:
            assert equal(found.tensors("new"), random_tensors(0))
            assert found.store.slot.version == 2
        else:
            assert state_of(found) == state
        assert verify(found) == []
        if not for_good:  # the same object goes on, whatever was refused
            archive.add("next", random_masks(1), tensors=random_tensors(1))
            found = MaskArchive(Store(MemoryDevice(bytes(device.content)), "m"), PATH)
            assert verify(found, deep=True) == []
            assert equal(found.tensors("next"), random_tensors(1))
            assert ("new" in found) == (outcomes[-1] == "committed")
    assert {"committed", "refused"} == set(outcomes)
    assert outcomes.count("committed") > 4  # the second slot of the new version, refused


WRITER = """
import sys
from maskstore import MaskArchive
from maskstore.maintenance import compact
from tests.maskstore.helpers import random_masks, random_tensors
version = int(sys.argv[2])
def item(number):
    tensors = random_tensors(number) if version == 2 and number % 2 else {}
    return f"t/{number}", random_masks(number), {"with": sorted(tensors)}, tensors
with MaskArchive.open(sys.argv[1], "a") as archive:
    number = len(archive)
    while True:
        if number % 5 == 4:
            archive.add_many(item(number + i) for i in range(20))
            number += 20
        else:
            if number % 7 == 0:
                compact(archive)
            archive.add_many([item(number)])
            number += 1
            if version == 2 and number % 3 == 0:
                archive.set_tensors(f"t/{number - 1}", random_tensors(number - 1 + 10**6))
        print(number, flush=True)
"""


def kill_writers(path: Path, kills: int, seed: int, version: int = 1) -> int:
    """Kill a real writer ``kills`` times at random moments; returns the tasks that are there.

    In version 2 every second task has tensors; a second commit replaces those of some.
    """
    rng = random.Random(seed)
    MaskArchive.create(path, LAYOUT).close()
    expected = 0
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(version)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()  # imports done, writing
            time.sleep(rng.random() * 0.02)
            os.kill(process.pid, signal.SIGKILL)
            lines = (first + process.stdout.read()).splitlines()
        reported = int(lines[-1]) if lines else expected
        with MaskArchive.open(path) as archive:
            count = len(archive)
            assert count >= reported, "a committed task is lost"
            assert archive.names() == [f"t/{i}" for i in range(count)]
            for number in range(expected, count):
                assert np.array_equal(
                    archive.get_packed(f"t/{number}"), LAYOUT.pack(random_masks(number))
                )
                found = archive.tensors(f"t/{number}")
                first = random_tensors(number) if version == 2 and number % 2 else {}
                assert archive.task(f"t/{number}").metadata == {"with": sorted(first)}
                assert equal(found, first) or equal(found, random_tensors(number + 10**6))
            assert verify(archive) == []
        with h5py.File(path) as file:
            assert "00000" in file
        expected = count
    return expected


@pytest.mark.parametrize("version", [1, 2])
def test_killed_writers_lose_nothing(tmp_path, version):
    assert kill_writers(tmp_path / "a.h5", kills=10, seed=0, version=version) > 10
