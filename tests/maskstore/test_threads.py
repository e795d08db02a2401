"""Threads that share an archive: each sees whole commits, whatever the others do."""

import threading
import time
from contextlib import ExitStack, suppress

import numpy as np
import pytest

from maskstore import MaskArchive, compact
from maskstore.errors import ArchiveClosed, ArchiveError, TaskExists
from maskstore.storage.index import Index
from maskstore.storage.raw_file import FileDevice
from tests.maskstore.helpers import equal, random_masks, random_tensors

LAYOUT = {name: layer.shape for name, layer in random_masks(0).items()}


def new_archive(path) -> None:
    """Ten tasks."""
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((f"t/{at}", random_masks(at), {}) for at in range(10))


@pytest.fixture
def path(tmp_path):
    new_archive(tmp_path / "a.h5")
    return tmp_path / "a.h5"


def in_another_thread(work):
    """What ``work`` returns there."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    assert found, "it waits"
    return found[0]


class Pair:
    """Tasks that are added and removed two at a time, so that nobody may see one of them."""

    def __init__(self, at: int) -> None:
        self.names = f"pair/{at}/a", f"pair/{at}/b"


def mixed_use(path, *, seconds: float, readers: int) -> dict[str, int]:
    """Readers beside adds, transactions that are given up, removals, renames, compact, refresh.

    How often each was done; whatever any thread raised is raised, that nothing must raise.
    """
    errors: list[BaseException] = []
    done: dict[str, int] = {}
    stop = threading.Event()
    with MaskArchive.open(path, "a") as archive:

        def guarded(work, number: int) -> threading.Thread:
            name = f"{work.__name__} {number}"
            done[name] = 0

            def run() -> None:
                try:
                    while not stop.is_set():
                        work(done[name])
                        done[name] += 1
                except BaseException as error:
                    errors.append(error)
                    stop.set()

            return threading.Thread(target=run)

        def write(at: int) -> None:
            a, b = Pair(at % 7).names
            with archive.transaction():
                for name in (a, b):
                    if name in archive:
                        archive.remove(name)
                    archive.add(name, random_masks(at), tensors=random_tensors(at), codec="fast")
            time.sleep(0.002)  # a turn for the others

        def give_up(at: int) -> None:
            with suppress(KeyError), archive.transaction():
                archive.add("never", random_masks(3), codec="fast")
                archive.remove("t/0")
                archive.rename("t/4", "never, either")
                raise KeyError

        def rewrite(at: int) -> None:
            time.sleep(0.05)
            compact(archive)
            archive.refresh()

        def read(at: int) -> None:
            names = archive.names()
            assert not {"never", "never, either"} & set(names)
            assert names[:10] == [f"t/{at}" for at in range(10)]
            pairs = [name for name in names if name.startswith("pair/")]
            assert len(pairs) % 2 == 0, pairs
            assert archive.task("t/7").index == 7
            assert equal(archive.get(f"t/{at % 10}"), random_masks(at % 10))
            for task in archive:
                assert task.index < len(names) + 14
            packed = archive.packed()
            assert np.array_equal(packed.bits[7], archive.get_packed("t/7"))

        works = [write, give_up, rewrite, *[read] * readers]
        threads = [guarded(work, number) for number, work in enumerate(works)]
        for thread in threads:
            thread.start()
        stop.wait(seconds)
        stop.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive(), "a thread does not come back"
    if errors:
        raise errors[0]
    total: dict[str, int] = {}
    for name, count in done.items():
        total[name.split()[0]] = total.get(name.split()[0], 0) + count
    return total


def test_mixed_use_without_a_false_error(path):
    done = mixed_use(path, seconds=3, readers=3)
    assert min(done.values()) > 0, done
    assert done["read"] > 10


@pytest.mark.parametrize("what", ["a transaction", "compact"])
def test_what_begins_while_another_thread_gives_up_waits_for_it(path, monkeypatch, what):
    """Until all is undone the store refuses writes: that concerns who has the turn alone."""
    undoing, begun = threading.Event(), threading.Event()
    truncate = FileDevice.truncate

    def slow(device, size) -> None:
        undoing.set()
        begun.wait(0.3)
        truncate(device, size)

    def give_up() -> bool:
        with suppress(KeyError), archive.transaction():
            archive.add("never", random_masks(1), codec="raw")
            raise KeyError
        return True

    with MaskArchive.open(path, "a") as archive:
        monkeypatch.setattr(FileDevice, "truncate", slow)
        other = threading.Thread(target=give_up)
        other.start()
        assert undoing.wait(10)
        monkeypatch.undo()
        if what == "compact":
            compact(archive)
        else:
            archive.add("new", random_masks(2))
        begun.set()
        other.join(10)
        assert "never" not in archive
        assert ("new" in archive) == (what != "compact")


def test_a_transaction_is_its_threads_alone_until_it_is_over(path):
    with MaskArchive.open(path, "a") as archive:
        with archive.transaction():
            added = archive.add("new", random_masks(50))
            archive.remove("t/3")
            archive.rename("t/4", "four")
            assert added.index == 10
            assert archive.task("new").index == 9
            assert "new" in archive
            assert in_another_thread(archive.names) == [f"t/{at}" for at in range(10)]
            assert in_another_thread(lambda: archive.task("t/3").index) == 3
            assert in_another_thread(lambda: len(archive.packed().names)) == 10
        after = ["t/0", "t/1", "t/2", "four", *(f"t/{at}" for at in range(5, 10)), "new"]
        assert in_another_thread(archive.names) == archive.names() == after


def test_an_add_copies_nothing(path, monkeypatch):
    copies = []
    copied = Index.copy
    monkeypatch.setattr(Index, "copy", lambda index: copies.append(index) or copied(index))
    with MaskArchive.open(path, "a") as archive:
        for at in range(20):
            archive.add(f"more/{at}", random_masks(at), codec="fast")
        assert len(copies) == 1  # the first one's, kept
        with pytest.raises(TaskExists):
            archive.add("more/3", random_masks(3))
        archive.add("last", random_masks(3))
        assert len(copies) <= 2


def test_a_file_that_is_replaced_is_read_to_the_end(path):
    """Who reads while another thread compacts has the file that it began with."""
    with MaskArchive.open(path, "a") as archive:
        before = archive._now
        compact(archive)
        assert archive._now.store.device is not before.store.device
        (row,) = before.index.lookup(["t/5"])
        assert len(before.store.device.read(row.entry.offset, row.entry.payload_bytes))
        with MaskArchive.open(path) as reader:  # the lock is that of the new file alone
            assert len(reader) == 10
        with pytest.raises(ArchiveError):
            MaskArchive.open(path, "a", timeout=0)
    MaskArchive.open(path, "a", timeout=0).close()


def test_inside_a_transaction_nothing_goes_over_to_another_file(path):
    with MaskArchive.open(path, "a") as archive, archive.transaction():
        for change in (lambda: compact(archive), archive.refresh):
            with pytest.raises(ArchiveClosed, match="inside a transaction"):
                change()


def test_what_raises_inside_a_transaction_undoes_what_it_did_itself(path):
    items = [("new/0", random_masks(1), {}), ("new/1", random_masks(2), {}), ("t/1", {}, {})]
    with MaskArchive.open(path, "a") as archive:
        with archive.transaction():
            archive.add("before", random_masks(20))
            with pytest.raises(TaskExists):
                archive.add_many(items)
            assert "new/0" not in archive
            with pytest.raises(KeyError), archive.transaction():
                archive.add("inner", random_masks(21), tensors=random_tensors(21))
                archive.remove("before")
                raise KeyError
            assert archive.names()[10:] == ["before"]
            archive.add("after", random_masks(22))
        names = archive.names()
        assert names[10:] == ["before", "after"]
    with MaskArchive.open(path) as archive:
        assert archive.names() == names
        assert equal(archive.get("after"), random_masks(22))


def test_a_transaction_that_another_thread_closes_is_told(path):
    archive = MaskArchive.open(path, "a")

    def change() -> None:
        with archive.transaction():
            archive.add("new", random_masks(1))
            archive.remove("t/0")
            in_another_thread(lambda: archive.close() or True)

    with pytest.raises(ArchiveClosed, match="2 changes of it were not stored"):
        change()
    with MaskArchive.open(path, "a", timeout=0) as again:
        assert again.names() == [f"t/{at}" for at in range(10)]


def test_closing_waits_for_a_commit_that_has_begun(path, monkeypatch):
    begun, closed = threading.Event(), threading.Event()
    sync = FileDevice.sync

    def slow(device) -> None:
        begun.set()
        closed.wait(0.3)
        sync(device)

    archive = MaskArchive.open(path, "a")
    monkeypatch.setattr(FileDevice, "sync", slow)

    def close() -> None:
        begun.wait(10)
        archive.close()
        closed.set()

    closer = threading.Thread(target=close)
    closer.start()
    archive.add("new", random_masks(1))
    closer.join(10)
    assert archive.closed
    monkeypatch.undo()
    with MaskArchive.open(path, "a", timeout=0) as again:
        assert "new" in again


def test_tasks_that_are_asked_for_together_are_of_one_moment(path):
    """Two tasks replaced in one transaction, again and again, by two equal masks."""
    stop, errors = threading.Event(), []
    with MaskArchive.open(path, "a") as archive:
        archive.add_many([("a", random_masks(0), {}), ("b", random_masks(0), {})])

        def replace() -> None:
            at = 0
            while not stop.is_set():
                at += 1
                with archive.transaction():
                    for name in ("a", "b"):
                        archive.remove(name)
                    for name in ("a", "b"):
                        archive.add(name, random_masks(at % 5), codec="raw")

        writer = threading.Thread(target=replace)
        writer.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            both = archive.packed(["a", "b"]).bits
            if not np.array_equal(both[0], both[1]):
                errors.append("apart")
        stop.set()
        writer.join(10)
    assert not errors


def test_closing_inside_a_transaction_says_what_is_not_stored(path):
    archive = MaskArchive.open(path, "a")
    says = pytest.raises(ArchiveClosed, match="2 changes of it were not stored")
    with says, archive.transaction():
        archive.add("new", random_masks(1))
        archive.remove("t/0")
        archive.close()
    assert archive.closed
    with MaskArchive.open(path, "a") as again:
        assert again.names() == [f"t/{at}" for at in range(10)]
        with ExitStack() as stack:
            stack.enter_context(again.transaction())
            again.add("new", random_masks(1))
        assert "new" in again
