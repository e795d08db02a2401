"""Errors of the mask store.

    SupsupError                       root of everything the product raises on purpose
    ├── InvalidInput (ValueError)     what the caller passed cannot be used
    │   ├── InvalidName               task name empty, too long, not printable UTF-8
    │   └── InvalidMask               mask with a wrong shape, dtype, name or layer
    └── ArchiveError                  root of everything an archive raises
        ├── ArchiveNotFound           (also FileNotFoundError)
        ├── ArchiveExists             (also FileExistsError)
        ├── NotAnArchive              not HDF5, or HDF5 laid out unlike ours
        ├── UnsupportedVersion        a format version or codec this release does not know
        ├── LayoutMismatch            archive and mask or backbone do not belong together
        ├── DigestMismatch            regenerated weights differ from the recorded ones
        ├── TaskNotFound              (also KeyError)
        ├── TaskExists                the name is taken
        ├── ArchiveLocked             another writer holds the archive
        ├── ArchiveClosed             used after close(), or written while read-only
        ├── ArchiveWriteError         the operating system refused a write (also OSError)
        └── CorruptArchive            stored bytes fail their checksum

Every message names the thing, what was expected, what was found, and what to do.
"""


class SupsupError(Exception):
    """Root of every error this product raises on purpose."""

    def __str__(self) -> str:
        # KeyError.__str__ would show the repr of the message; every error here reads as text.
        return str(self.args[0]) if self.args else ""


class InvalidInput(SupsupError, ValueError):
    """What the caller passed cannot be used."""


class InvalidName(InvalidInput):
    """A task name is empty, too long or not printable UTF-8."""


class InvalidMask(InvalidInput):
    """A mask has a wrong shape, dtype or name, or lacks a layer."""


class ArchiveError(SupsupError):
    """Root of the errors of an archive."""


class ArchiveNotFound(ArchiveError, FileNotFoundError):
    """There is no archive at the path."""


class ArchiveExists(ArchiveError, FileExistsError):
    """There is a file at the path already."""


class NotAnArchive(ArchiveError):
    """The file is not HDF5, or HDF5 of another layout."""


class UnsupportedVersion(ArchiveError):
    """The file names a format version or a codec that this release does not know."""


class LayoutMismatch(ArchiveError):
    """Archive and mask, or archive and backbone, do not belong together."""


class DigestMismatch(ArchiveError):
    """Weights regenerated from the seed differ from those the masks were trained on."""


class TaskNotFound(ArchiveError, KeyError):
    """The archive has no task of that name."""


class TaskExists(ArchiveError):
    """The archive has a task of that name already."""


class ArchiveLocked(ArchiveError):
    """Another writer holds the archive."""


class ArchiveClosed(ArchiveError):
    """The archive was used after ``close()``, or written to while opened for reading."""


class ArchiveWriteError(ArchiveError, OSError):
    """The operating system refused a write: disk full, no permission, file too large."""


class CorruptArchive(ArchiveError):
    """Stored bytes fail their checksum."""
