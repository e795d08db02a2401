"""MaskArchive: masks by task name in one HDF5 file, with a database's promises."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

from maskstore.errors import ArchiveClosed, CorruptArchive, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.packed import StoredTask
from maskstore.reader import Contents
from maskstore.storage.atomic import sync_folder
from maskstore.storage.commits import read_state
from maskstore.storage.index import Index
from maskstore.storage.lifecycle import create_file, open_file, replace_file
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.remote_file import RemoteDevice
from maskstore.storage.store import Store
from maskstore.transaction import Transaction, Turn
from maskstore.writer import ArchiveWriter, Changes

__all__ = ["MaskArchive", "StoredTask"]


class MaskArchive(ArchiveWriter):
    """Masks of one layout in an HDF5 file. Make one with :meth:`create` or :meth:`open`.

    Every change is atomic and durable: after a crash the next open sees the last committed state.
    Threads may share an archive: each sees whole commits, whatever the others do, and a transaction
    keeps other writers out until it is done.
    One writer at a time holds a lock from open to close; readers need none, block nobody, and see
    the state at their open or last :meth:`refresh`.
    """

    def __init__(
        self, store: Store, path: str | Path, index: Index | None = None, *, lock: bool = True
    ) -> None:
        """Used by :meth:`create` and :meth:`open`."""
        super().__init__(store, path, index)
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: str | Path,
        layout: MaskLayout | Mapping[str, tuple[int, ...]],
        *,
        backbone: Mapping[str, Any] | None = None,
        weights_digest: str | None = None,
        parameters: int | None = None,
        metadata_example: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        lock: bool = True,
    ) -> "MaskArchive":
        """Make an empty archive and hold it open for writing.

        Args:
            backbone: the recipe that regenerates the weights, as JSON.
            weights_digest: sha256 (hex) of those weights.
            parameters: weights of a dense model of the backbone (the bits of a mask by default).
            metadata_example: metadata as tasks will have it; what is like it costs few bytes.

        Raises:
            ArchiveExists: there is a file at ``path``; it is left as it is.
            ArchiveWriteError: the folder is missing or not writable, or the disk is full.
            InvalidInput: the layout or the recipe cannot be stored.
        """
        if not isinstance(layout, MaskLayout):
            layout = MaskLayout(dict(layout) if isinstance(layout, Mapping) else layout)
        header = {
            "layout": layout.to_json(),
            "backbone": None if backbone is None else dict(backbone),
            "weights_digest": weights_digest,
            "parameters": parameters,
            "metadata_example": dict(metadata_example or {}),
        }
        path = Path(path)
        return cls(create_file(path, header, timeout=timeout, lock=lock), path, lock=lock)

    @classmethod
    def open(
        cls, path: str | Path, mode: str = "r", *, timeout: float = 10.0, lock: bool = True
    ) -> "MaskArchive":
        """Open an archive to read (``"r"``) or to read and write (``"a"``).

        Args:
            path: a file, or a URL that fsspec knows (``s3://…``) to read by ranges.
            timeout: seconds to wait for another writer.
            lock: False writes without a lock, for file systems that have none.

        Raises:
            ArchiveNotFound, NotAnArchive, UnsupportedVersion, CorruptArchive: as they say.
            ArchiveLocked: another writer held the archive all through ``timeout``.
        """
        if mode not in ("r", "a"):
            raise InvalidInput(f"mode {mode!r} is unknown; use 'r' to read or 'a' to write")
        if _is_url(path):
            if mode == "a":
                raise InvalidInput(f"{path}: a URL can only be read; copy the archive to write")
            store = Store(RemoteDevice(str(path)), str(path))
        else:
            store = open_file(Path(path), mode, timeout=timeout, lock=lock)
        try:
            archive = cls(store, path, lock=lock)
            if mode == "a" and (damage := archive.damage):
                raise CorruptArchive(
                    f"{path}: {damage[0].cause}; nothing is written to a damaged "
                    "archive: read it, or salvage it with `supsup-store repair`"
                )
            if mode == "a":
                store.recover()
        except BaseException:
            store.device.close()
            raise
        return archive

    @classmethod
    def open_to_salvage(cls, path: str | Path) -> "MaskArchive":
        """As :meth:`open`; where that raises, what is left: the state before the last commit.

        ``damage`` then begins with what of the newest state is lost; :func:`maskstore.repair`
        reports it. Who does not salvage gets the error, as that commit was acknowledged.

        Raises:
            ArchiveNotFound, NotAnArchive, UnsupportedVersion: as :meth:`open`.
            CorruptArchive: neither state can be read; the error is that of the newest.
        """
        try:
            return cls.open(path)
        except CorruptArchive as error:
            lost = f"the last commit is lost: {error}"
            device = RemoteDevice(str(path)) if _is_url(path) else FileDevice(Path(path), mode="r")
            try:
                state = read_state(device, str(path), before=True)
                return cls(Store(device, str(path), state, lost=lost), path)
            except CorruptArchive:
                device.close()
                raise error from None

    def close(self) -> None:
        """Release the file and the lock. Closing twice does nothing.

        A transaction of another thread ends there with ArchiveClosed; one whose commit has begun is
        waited for.

        Raises:
            ArchiveClosed: a transaction of this thread is not over; what it changed is not stored.
        """
        with self._next:
            committed, turn = self._committed, self._turn
            if committed is None:
                return
            own = turn if isinstance(turn, Changes) and turn.thread == get_ident() else None
            try:
                if own is not None:
                    self._end_turn(own, keep=False)
            finally:
                self._committed = None
                committed.store.device.close()
        if own is not None and own.rows:
            raise self._closed_early(own)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are openings of their own, to read what is committed by then.

        So workers of a data loader can hold an archive, and no descriptor has two owners.

        Raises:
            ArchiveClosed: the archive is closed.
        """
        device = self.store.device
        return MaskArchive.open, (device.path if isinstance(device, FileDevice) else self.path,)

    def __enter__(self) -> "MaskArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def refresh(self) -> bool:
        """See what other processes committed since; True if anything changed.

        Raises:
            ArchiveClosed: closed, or inside a transaction.
            CorruptArchive: what is there now is another archive, or damaged.
        """
        with self._alone("refreshed"):
            store = self.store
            device = store.device
            if isinstance(device, FileDevice) and device.is_replaced():
                fresh = open_file(device.path, "r", timeout=0, lock=False)
            elif isinstance(device, RemoteDevice):
                fresh = Store(RemoteDevice(device.url), device.url)
            else:
                fresh = Store(device, store.name)
                if fresh.slot == store.slot:
                    return False
            if fresh.header != store.header:
                if fresh.device is not device:
                    fresh.device.close()
                raise CorruptArchive(f"{self.path}: replaced by another archive; open it again")
            self._go_over_to(fresh)
        return True

    def rewrite(self, fill: Callable[[Store], None]) -> None:
        """Put a new file with what ``fill`` appends in the place of this one, and go on with it.

        Raises:
            ArchiveClosed: not open for writing, or inside a transaction.
        """
        with self._alone("rewritten"):
            store, old = self.store, self.store.device
            store.require_writable()
            if not isinstance(old, FileDevice):
                raise ArchiveClosed(f"{self.path}: only a file can be rewritten")
            rows = self._now.index.live_rows()
            made: list[Store] = []
            try:
                fresh = replace_file(
                    old,
                    store.header,
                    lock=self._lock,
                    version=store.slot.version,
                    rows=len(rows),
                    text_bytes=sum(len(name.encode()) + len(row.metadata) for name, row in rows),
                    fill=fill,
                    made=made.append,
                )
                self._go_over_to(fresh)
            except BaseException:
                for each in made:
                    if each is not self.store:
                        each.device.close()  # with its lock, which nobody else would give back
                raise
            sync_folder(old.path.parent)

    def _go_over_to(self, fresh: Store) -> None:
        """Show another state of the archive from now on, in one step for all threads."""
        old = self.store.device
        self._committed = Contents(fresh, Index(fresh))
        self._ahead = None
        if isinstance(old, FileDevice) and old is not fresh.device:
            # Threads that read may still need the file; it is closed when the last one has done.
            old.release()

    def _alone(self, done: str) -> Transaction:
        """A block during which no transaction is on, of this thread neither."""
        turn = self._turn
        if turn is not None and turn.thread == get_ident():
            raise ArchiveClosed(f"{self.path}: cannot be {done} inside a transaction")
        return Transaction(self, Turn)


def _is_url(path: str | Path) -> bool:
    return isinstance(path, str) and "://" in path
