"""Integrity: everything in an archive that is not as it was written, by name."""

from collections.abc import Callable

from maskstore.access import require_archive
from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveError
from maskstore.storage import hdf5
from maskstore.storage.commits import damaged_slots
from maskstore.storage.hdf5_view import LastExtentView, extent_view, group_address, static_view
from maskstore.storage.index import DAMAGED_SLOT, Damage
from maskstore.storage.raw_file import FileDevice
from maskstore.storage.store import Store


def verify(
    archive: MaskArchive, *, deep: bool = False, on_task: Callable[[str], None] | None = None
) -> list[Damage]:
    """Look for damage: index, HDF5 view and stored bytes of every task.

    Args:
        deep: also decode every mask and tensor and compare its sha256, and read the file with
            libhdf5.
        on_task: called with a task's name before it is looked at.

    Returns:
        What is damaged, with the task where one is lost; empty if all is well.

    >>> with MaskArchive.create("verified.h5", {"w": (8, 8)}) as archive:
    ...     verify(archive, deep=True)
    []
    """
    require_archive(archive)
    damage = archive.damage
    if DAMAGED_SLOT not in damage and damaged_slots(archive.store.device, archive.store.slot):
        damage.append(DAMAGED_SLOT)
    damage += _verify_view(archive.store)
    for task in archive.names():
        if on_task is not None:
            on_task(task)
        try:
            archive.check_stored(task)  # also where what it needs was read before, and is kept
            if deep:
                archive.get_packed(task)
                archive.tensors(task)
        except ArchiveError as error:
            damage.append(Damage(task, str(error)))
    for name in archive.shared_entries:
        try:
            archive.stored_shared(name)
            if deep:
                archive.shared_tensors(name)
        except ArchiveError as error:
            damage.append(Damage(None, str(error)))
    on_disk = isinstance(archive.store.device, FileDevice)
    if deep and not damage and on_disk and _shows_this_state(archive.store):
        damage += _verify_with_libhdf5(archive.store)
    return damage


def _verify_view(store: Store) -> list[Damage]:
    """Compare the HDF5 structures with those that the state in the commit slot calls for."""
    expected: list[tuple[str, int, bytes]] = [
        ("header and commits", *static_view(len(store.header_bytes)))
    ]
    for number, extent in enumerate(store.extents[:-1]):
        address = extent.group - group_address(0)
        expected.append((f"extent {number}", address, extent_view(address, extent)))
    view = LastExtentView(store.slot.table_offset, len(store.extents))
    copy = store.slot.generation % 2
    static_address = static_view(len(store.header_bytes))[0]
    expected.append(
        (
            "last extent and root",
            view.copies[copy],
            view.encode_copy(copy, static_address, store.extents, store.slot.version),
        )
    )
    damage = [
        Damage(None, f"HDF5 view: the structures of {what} are damaged; other HDF5 tools may fail")
        for what, address, data in expected
        if address < 0
        or address + len(data) > store.device.size()
        or store.device.read(address, len(data)) != data
    ]
    # A writer killed inside a commit may leave it one state ahead, until the next writer comes.
    if not hdf5.is_superblock(store.device.read(0, hdf5.SUPERBLOCK_BYTES)):
        damage.append(Damage(None, "HDF5 view: the superblock is damaged; HDF5 tools will fail"))
    return damage


def _shows_this_state(store: Store) -> bool:
    view = LastExtentView(store.slot.table_offset, len(store.extents))
    expected = view.superblock(store.slot.generation % 2, store.slot.end_of_file)
    return store.device.read(0, len(expected)) == expected


def _verify_with_libhdf5(store: Store) -> list[Damage]:
    """Read the file as any HDF5 tool would and compare; only ever asked of an intact view."""
    import h5py  # takes as long to import as all the rest, and nothing else needs it

    damage = []
    with h5py.File(store.name, "r", locking=False) as file:
        for number, extent in enumerate(store.extents):
            rows, text = store.read_rows(extent)
            group = file[f"{number:05d}"]
            if (
                group["index"][...].tobytes() != rows.tobytes()
                or group["text"][...].tobytes() != text
                or group["heap"].shape != (extent.heap_bytes,)
            ):
                damage.append(Damage(None, f"HDF5 view: extent {number} reads differently"))
    return damage
