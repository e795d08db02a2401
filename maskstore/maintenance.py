"""Whole archives rewritten: compact, repair, merge. The old file stays until the new is done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from maskstore import codecs
from maskstore.access import require_archive
from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveError, InvalidInput, LayoutMismatch, TaskExists
from maskstore.items import records_of_task
from maskstore.recoding import kept, recoded
from maskstore.storage.format import KIND_SHARED
from maskstore.storage.index import Damage
from maskstore.storage.lifecycle import create_file
from maskstore.storage.metadata import encode_json, encode_metadata, identity_of
from maskstore.storage.records import Record
from maskstore.storage.store import Store
from maskstore.storage.tensor_rows import tensor_record
from maskstore.tensors import StoredSet, TensorValue, encode_set

_BATCH_BYTES = 1 << 25

OnTask = Callable[[str], None]
"""Called with a task's name when it is done."""

JoinShared = Callable[[Sequence[MaskArchive]], Mapping[str, TensorValue]]
"""Makes one set of shared tensors of those of the archives given, all of which have the set."""

_NO_JOINS: Mapping[str, JoinShared] = MappingProxyType({})
_NO_SETS: Mapping[str, StoredSet] = MappingProxyType({})


def _no_report(name: str) -> None:
    pass


@contextmanager
def gone_if_empty(
    made: MaskArchive, *, unless: tuple[type[BaseException], ...] = ()
) -> Iterator[MaskArchive]:
    """Close an archive that was just made; where the block fails before there is a task in it,
    remove it, too, so that the same command works once the cause is mended.

    Args:
        unless: what is no failure.
    """
    with made:
        try:
            yield made
        except unless:
            raise
        except BaseException:
            if len(made) == 0:
                Path(made.path).unlink(missing_ok=True)
            raise


def compact(archive: MaskArchive, *, codec: str | None = None, on_task: OnTask = _no_report) -> int:
    """Rewrite an archive without what removals and growth left behind; returns the bytes saved.

    Readers keep the old file until they refresh. A crash leaves the old file as it was.

    Args:
        archive: open for writing; it goes on with the new file.
        codec: re-encode every mask (``"auto"``: the smallest; ``"history"``: smaller still where
            tasks are alike, see :mod:`maskstore.codecs.references`); None keeps the stored bytes.

    Raises:
        CorruptArchive: a task is damaged; nothing was changed.
        ArchiveWriteError: the system refused; nothing was changed.

    >>> with MaskArchive.create("compact.h5", {"w": (8, 8)}) as archive:
    ...     for name in ("kept", "removed"):
    ...         _ = archive.add(name, {"w": np.eye(8, dtype=bool)})
    ...     archive.remove("removed")
    ...     compact(archive) > 0, archive.names()
    (True, ['kept'])
    """
    require_archive(archive)
    allowed = None if codec is None else codecs.parse_codec(codec)
    before = archive.file_bytes

    def fill(draft: Store) -> None:
        _copy_shared(archive, list(archive.shared_entries), draft)
        _copy(archive, archive.names(), draft, allowed=allowed, on_task=on_task)

    archive.rewrite(fill)
    return before - archive.file_bytes


def repair(source: MaskArchive, path: str | Path, *, on_task: OnTask = _no_report) -> list[Damage]:
    """Copy every intact task into a new archive at ``path``; returns what was lost.

    Every mask is decoded and compared with its sha256 on the way.

    Args:
        source: of :meth:`MaskArchive.open_to_salvage` where nothing else opens it.

    Raises:
        ArchiveExists, ArchiveWriteError: no new archive was made.

    >>> with MaskArchive.create("to_repair.h5", {"w": (8, 8)}) as archive:
    ...     _ = archive.add("intact", {"w": np.eye(8, dtype=bool)})
    ...     repair(archive, "repaired.h5")
    []
    """
    require_archive(source)
    lost = source.damage
    intact = []
    for name in source.names():
        try:
            source.get_packed(name)
            source.tensors(name)
            source.task(name)
        except ArchiveError as error:
            lost.append(Damage(name, str(error)))
        else:
            intact.append(name)
        on_task(name)
    shared = []
    for name in source.shared_entries:
        try:
            source.shared_tensors(name)
        except ArchiveError as error:
            lost.append(Damage(None, str(error)))
        else:
            shared.append(name)
    _write_new(path, [(source, intact)], shared)
    return lost


def copy_tasks(
    source: MaskArchive,
    names: Sequence[str],
    target: MaskArchive,
    *,
    joins: Mapping[str, JoinShared] = _NO_JOINS,
    on_task: OnTask = _no_report,
) -> None:
    """Append tasks of one archive to another of the same network, with all that they have.

    All of them are there at once, or none. The stored bytes stay as they are, except of a mask that
    is coded against one that does not come along.

    Args:
        target: open for writing.
        joins: as in :func:`merge`; what is made of both is the target's then.

    Raises:
        TaskNotFound, CorruptArchive: a task is not there, or damaged.
        LayoutMismatch: the archives are made for different networks, or share other tensors.
        TaskExists: the other archive has a task of that name.
    """
    _require_same_network(target, source, joins)
    for name in names:
        source.check_stored(name)
        if name in target:
            raise TaskExists(
                f"{target.path}: task {name!r} is there already; rename or remove one of the two"
            )
    joined = {
        name: join([each for each in (target, source) if name in each.shared_entries])
        for name, join in joins.items()
        if name in source.shared_entries
    }
    with target.transaction():
        for name, tensors in joined.items():
            target.set_shared_tensors(name, tensors)
        _copy(
            source,
            names,
            target.store,
            allowed=None,
            on_task=on_task,
            append=target.append_records,
        )


def create_like(source: MaskArchive, path: str | Path) -> None:
    """Make an empty archive for the network of another, with what its tasks share.

    Raises:
        ArchiveExists, ArchiveWriteError, CorruptArchive: no new archive was made.
    """
    _write_new(path, [(source, ())], list(source.shared_entries))


def merge(
    sources: Sequence[MaskArchive],
    path: str | Path,
    *,
    joins: Mapping[str, JoinShared] = _NO_JOINS,
    on_task: OnTask = _no_report,
) -> int:
    """Join archives of the same layout and backbone into a new one; returns its tasks.

    Args:
        joins: sets of shared tensors that need not be the same in all, nor there: what makes one
            of those that there are. All others must be equal.

    Raises:
        InvalidInput: no source.
        LayoutMismatch: the sources are made for different networks, or share other tensors.
        TaskExists: a name is in two of them.
        ArchiveExists, ArchiveWriteError, CorruptArchive: no new archive was made.

    >>> for name in ("one", "two"):
    ...     with MaskArchive.create(f"{name}.h5", {"w": (8, 8)}) as archive:
    ...         _ = archive.add(name, {"w": np.eye(8, dtype=bool)})
    >>> with MaskArchive.open("one.h5") as one, MaskArchive.open("two.h5") as two:
    ...     merge([one, two], "both.h5")
    2
    """
    if not sources:
        raise InvalidInput("merge: expected at least one archive")
    for source in sources:
        require_archive(source)
    first = sources[0]
    names: dict[str, str | Path] = {}
    for source in sources:
        _require_same_network(first, source, joins)
        for name in source.names():
            if name in names:
                raise TaskExists(
                    f"task {name!r} is in both {names[name]} and {source.path}; remove one of them"
                )
            names[name] = source.path
    joined = {}
    for name, join in joins.items():
        if having := [source for source in sources if name in source.shared_entries]:
            joined[name] = encode_set(f"shared tensors {name!r}", join(having))
    parts = [(source, source.names()) for source in sources]
    shared = [name for name in first.shared_entries if name not in joined]
    _write_new(path, parts, shared, on_task, joined)
    return len(names)


def _require_same_network(
    first: MaskArchive, other: MaskArchive, joins: Mapping[str, JoinShared] = _NO_JOINS
) -> None:
    if identity_of(other.store.header) != identity_of(first.store.header):
        raise LayoutMismatch(
            f"{other.path}: made for another network than {first.path} "
            "(`supsup-store show` prints layout, backbone and digest of each)"
        )
    _require_same_shared(first, other, joins)


def _require_same_shared(
    first: MaskArchive, other: MaskArchive, joins: Mapping[str, JoinShared]
) -> None:
    mine, theirs = first.shared_entries, other.shared_entries
    for name in (each for each in {**mine, **theirs} if each not in joins):
        # Equal digests are equal tensors; others may differ in their order alone.
        if (
            name not in mine
            or name not in theirs
            or (mine[name].sha256 != theirs[name].sha256 and not _equal(first, other, name))
        ):
            raise LayoutMismatch(
                f"{other.path}: shared tensors {name!r} are not those of {first.path}, so their "
                "tasks cannot share an archive; give both the same, or remove them from both"
            )


def _equal(first: MaskArchive, other: MaskArchive, name: str) -> bool:
    sets = first.shared_tensors(name), other.shared_tensors(name)
    types = [{each.name: each[1:3] for each in one.shared[name]} for one in (first, other)]
    return types[0] == types[1] and all(
        array.tobytes() == sets[1][key].tobytes() for key, array in sets[0].items()
    )


def _write_new(
    path: str | Path,
    parts: Sequence[tuple[MaskArchive, Sequence[str]]],
    shared: Sequence[str],
    on_task: OnTask = _no_report,
    joined: Mapping[str, StoredSet] = _NO_SETS,
) -> None:
    """A new archive with the first source's header and ``shared`` tensors, and all tasks.

    Args:
        joined: further sets of shared tensors, by name.
    """
    first = parts[0][0]

    def fill(store: Store) -> None:
        _copy_shared(first, shared, store)
        for name, stored in joined.items():
            store.append([tensor_record(KIND_SHARED, name, stored)])
        for source, names in parts:
            _copy(source, names, store, allowed=None, on_task=on_task)

    version = max(source.store.slot.version for source, _ in parts)
    create_file(
        Path(path), first.store.header, timeout=0, lock=True, version=version, fill=fill
    ).device.close()


def _copy_shared(source: MaskArchive, names: Sequence[str], target: Store) -> None:
    for name in names:
        target.append([tensor_record(KIND_SHARED, name, source.stored_shared(name))])


def _copy(
    source: MaskArchive,
    names: Sequence[str],
    target: Store,
    *,
    allowed: tuple[codecs.Codec, ...] | None,
    on_task: OnTask,
    append: Callable[[list[Record]], object] | None = None,
) -> None:
    """Append the tasks to the transaction in flight of ``target``.

    Args:
        allowed: the codecs to choose among; None keeps the stored bytes.
        append: takes the rows; ``target`` by default, whose index nobody has read yet.
    """
    append = append or target.append
    batch: list[Record] = []
    size = 0
    same_example = source.store.header.get("metadata_example") == target.header.get(
        "metadata_example"
    )
    payloads = kept(source, names) if allowed is None else recoded(source, names, allowed)
    for name, (used, payload) in zip(names, payloads, strict=True):
        entry = source.entry(name)
        records = records_of_task(
            name,
            entry.metadata if same_example else _translate(source, name, target),
            payload=payload,
            codec=used,
            ones=entry.ones,
            sha256=entry.sha256,
            tensors=source.stored_tensors(name),
        )
        batch += records
        size += sum(len(record.payload) + len(record.metadata) for record in records)
        if size > _BATCH_BYTES:
            append(batch)
            batch, size = [], 0
        on_task(name)
    append(batch)


def _translate(source: MaskArchive, name: str, target: Store) -> bytes:
    """Metadata of a task, stored the way of an archive with another example."""
    example = target.header.get("metadata_example")
    stored = encode_json("metadata example", example) if example else b""
    return encode_metadata(name, source.task(name).metadata, stored)
