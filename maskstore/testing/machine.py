"""Everything that can be done to an archive, in any order, beside a dictionary of what is there.

A writer and a reader have the file open all the while: the reader sees what there was at its open
or last refresh, a third handle that opens anew what is committed.

Hypothesis is needed (``pip install hypothesis``)::

    from hypothesis.stateful import run_state_machine_as_test
    from maskstore.testing.machine import ArchiveMachine

    run_state_machine_as_test(ArchiveMachine)

This project's tests run it for a moment, ``benchmarks/machine.py`` for long.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maskstore import (
    ArchiveLocked,
    MaskArchive,
    TaskExists,
    TaskNotFound,
    compact,
    merge,
    repair,
    verify,
)
from maskstore.maintenance import copy_tasks
from maskstore.testing.samples import LAYOUT, equal, random_masks, random_tensors

NAMES = st.sampled_from([f"t/{number}" for number in range(6)] + ["ä", "x" * 255])
SEEDS = st.integers(0, 30)
CODECS = st.sampled_from(["auto", "fast", "raw", "zstd"])
SETS = st.sampled_from(["weights", "statistics"])


class GivenUp(Exception):
    """Raised inside a transaction."""


@contextmanager
def refused(error: type[Exception]) -> Iterator[None]:
    """What is done inside must raise that error."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, found nothing raised")


class Task:
    """What is known of a task: the seeds of its mask and tensors, and its metadata."""

    def __init__(self, mask: int, tensors: int | None, metadata: dict[str, Any]) -> None:
        self.mask, self.tensors, self.metadata = mask, tensors, metadata

    def item(self, name: str) -> tuple:
        return name, random_masks(self.mask), self.metadata, tensors_of(self.tensors)


def tensors_of(seed: int | None) -> dict:
    """Those of a seed; none without one."""
    return {} if seed is None else random_tensors(seed)


class Model:
    """An archive as a dictionary; a change makes a new one."""

    def __init__(self, tasks: dict[str, Task] | None = None, shared: dict | None = None) -> None:
        self.tasks, self.shared = dict(tasks or {}), dict(shared or {})

    def copy(self) -> "Model":
        return Model(self.tasks, self.shared)

    def rename(self, name: str, new: str) -> None:
        self.tasks = {new if each == name else each: task for each, task in self.tasks.items()}

    def check(self, archive: MaskArchive) -> None:
        """All that an archive says is as the model has it."""
        assert archive.names() == list(self.tasks)
        assert archive.damage == []
        for place, (name, task) in enumerate(self.tasks.items()):
            stored = archive.task(name)
            assert (stored.index, stored.metadata) == (place, task.metadata)
            assert equal(archive.get(name), random_masks(task.mask))
            assert equal(archive.tensors(name), tensors_of(task.tensors))
        assert sorted(archive.shared) == sorted(self.shared)
        for name, seed in self.shared.items():
            assert equal(archive.shared_tensors(name), tensors_of(seed))


class ArchiveMachine(RuleBasedStateMachine):
    """One file, a writer, a reader."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "a.h5"
        self.writer = MaskArchive.create(self.path, LAYOUT)
        self.reader = MaskArchive.open(self.path)
        self.model, self.seen = Model(), Model()
        self.before: Model | None = None
        self.block: Any = None

    def teardown(self) -> None:
        if self.block is not None:
            self.give_up()
        with MaskArchive.open(self.path) as archive:
            self.model.check(archive)
            assert verify(archive, deep=True) == []
        self.writer.close()
        self.reader.close()
        shutil.rmtree(self.folder)

    # --- changes, inside a transaction or not

    @rule(name=NAMES, mask=SEEDS, tensors=st.none() | SEEDS, codec=CODECS)
    def add(self, name: str, mask: int, tensors: int | None, codec: str) -> None:
        task = Task(mask, tensors, {"mask": mask})
        if name in self.model.tasks:
            with refused(TaskExists):
                self.writer.add(*task.item(name)[:3], codec=codec)
            return
        added = self.writer.add(
            name, random_masks(mask), task.metadata, tensors=tensors_of(tensors), codec=codec
        )
        assert added.index == len(self.model.tasks)
        self.model.tasks[name] = task

    @rule(names=st.lists(NAMES, max_size=5), mask=SEEDS, tensors=st.none() | SEEDS)
    def add_many(self, names: list[str], mask: int, tensors: int | None) -> None:
        tasks = [Task(mask + at, tensors, {}) for at in range(len(names))]
        items = [task.item(name) for name, task in zip(names, tasks, strict=True)]
        if len(set(names)) < len(names) or set(names) & self.model.tasks.keys():
            with refused(TaskExists):
                self.writer.add_many(items)
            return
        assert self.writer.add_many(items) == len(names)
        self.model.tasks |= dict(zip(names, tasks, strict=True))

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        if name not in self.model.tasks:
            with refused(TaskNotFound):
                self.writer.remove(name)
            return
        self.writer.remove(name)
        del self.model.tasks[name]

    @rule(name=NAMES, new=NAMES)
    def rename(self, name: str, new: str) -> None:
        if name not in self.model.tasks or (new != name and new in self.model.tasks):
            wrong = TaskNotFound if name not in self.model.tasks else TaskExists
            with refused(wrong):
                self.writer.rename(name, new)
            return
        self.writer.rename(name, new)
        self.model.rename(name, new)

    @rule(name=NAMES, number=SEEDS)
    def update(self, name: str, number: int) -> None:
        metadata = {"number": number, "text": "x" * number}
        if name not in self.model.tasks:
            with refused(TaskNotFound):
                self.writer.update(name, metadata)
            return
        self.writer.update(name, metadata)
        task = self.model.tasks[name]
        self.model.tasks[name] = Task(task.mask, task.tensors, metadata)

    @rule(name=NAMES, tensors=st.none() | SEEDS)
    def set_tensors(self, name: str, tensors: int | None) -> None:
        if name not in self.model.tasks:
            with refused(TaskNotFound):
                self.writer.set_tensors(name, tensors_of(tensors))
            return
        self.writer.set_tensors(name, tensors_of(tensors))
        task = self.model.tasks[name]
        self.model.tasks[name] = Task(task.mask, tensors, task.metadata)

    @rule(name=SETS, tensors=st.none() | SEEDS)
    def set_shared_tensors(self, name: str, tensors: int | None) -> None:
        self.writer.set_shared_tensors(name, tensors_of(tensors))
        self.model.shared.pop(name, None)
        if tensors is not None:
            self.model.shared[name] = tensors

    @rule(mask=SEEDS)
    def give_up_a_block_in_between(self, mask: int) -> None:
        with suppress(GivenUp), self.writer.transaction():
            self.writer.add("never", random_masks(mask))
            for name in list(self.model.tasks)[:2]:
                self.writer.remove(name)
            self.writer.set_shared_tensors("never", random_tensors(mask))
            raise GivenUp

    # --- transactions

    @precondition(lambda self: self.block is None)
    @rule()
    def begin(self) -> None:
        self.before = self.model.copy()
        self.block = self.writer.transaction()
        self.end = self.block.__exit__
        self.block.__enter__()

    @precondition(lambda self: self.block is not None)
    @rule()
    def commit(self) -> None:
        self.end(None, None, None)
        self.before = self.block = self.end = None

    @precondition(lambda self: self.block is not None)
    @rule()
    def give_up(self) -> None:
        self.end(GivenUp, GivenUp(), None)
        assert self.before is not None
        self.model, self.before, self.block, self.end = self.before, None, None, None

    # --- the file as a whole

    @precondition(lambda self: self.block is None)
    @rule(codec=st.none() | CODECS)
    def compact(self, codec: str | None) -> None:
        compact(self.writer, codec=codec)

    @precondition(lambda self: self.block is None)
    @rule()
    def reopen(self) -> None:
        self.writer.close()
        self.writer = MaskArchive.open(self.path, "a", timeout=0)

    @rule()
    def a_second_writer_is_refused(self) -> None:
        with refused(ArchiveLocked):
            MaskArchive.open(self.path, "a", timeout=0)

    @rule(again=st.booleans())
    def refresh(self, again: bool) -> None:
        if again:
            self.reader.close()
            self.reader = MaskArchive.open(self.path)
        else:
            self.reader.refresh()
        self.seen = (self.before or self.model).copy()

    @precondition(lambda self: self.block is None)
    @rule(which=st.sampled_from(["repair", "merge", "copy"]))
    def make_another(self, which: str) -> None:
        made = self.folder / "made.h5"
        if which == "repair":
            assert repair(self.writer, made) == []
        elif which == "merge":
            assert merge([self.writer], made) == len(self.model.tasks)
        else:
            with MaskArchive.create(made, LAYOUT) as target:
                for name, seed in self.model.shared.items():
                    target.set_shared_tensors(name, tensors_of(seed))
                copy_tasks(self.writer, list(self.model.tasks), target)
        with MaskArchive.open(made) as archive:
            self.model.check(archive)
            assert verify(archive, deep=True) == []
        made.unlink()

    # --- what must be true after each

    @invariant()
    def the_writer_sees_its_own_changes(self) -> None:
        self.model.check(self.writer)

    @invariant()
    def the_reader_sees_what_it_saw(self) -> None:
        self.seen.check(self.reader)

    @invariant()
    def others_see_what_is_committed(self) -> None:
        with MaskArchive.open(self.path) as archive:
            (self.before or self.model).check(archive)
