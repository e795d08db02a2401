"""Archives behind a URL (``s3://…``, ``memory://…``): ranged reads through fsspec."""

from typing import Any

from maskstore.errors import ArchiveNotFound, CorruptArchive, InvalidInput
from maskstore.foreign import one_line
from maskstore.storage.raw_file import ReadableDevice


class RemoteDevice(ReadableDevice):
    """An object that fsspec can read. Only the ranges that are asked for are fetched."""

    def __init__(self, url: str) -> None:
        """Look at the object as it is now: a new device sees a newer one.

        Raises ArchiveNotFound, or InvalidInput where fsspec lacks what the URL needs.
        """
        import fsspec  # a third of a second, which few archives need

        self.url = url
        try:
            self._files, self._path = fsspec.core.url_to_fs(url)
            self._size = int(self._files.size(self._path))
        except (ImportError, ValueError) as error:
            raise InvalidInput(
                f"{url}: cannot read such URLs here ({one_line(error)}); "
                "for S3 install the extra: pip install 'supsup-store[s3]'"
            ) from error
        except Exception as error:  # each of fsspec's protocols raises as it likes
            raise ArchiveNotFound(f"{url}: no archive there ({one_line(error)})") from error

    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        if size == 0:
            return b""
        try:
            data = bytes(self._files.cat_file(self._path, start=offset, end=offset + size))
        except Exception as error:
            raise CorruptArchive(
                f"{self.url}: reading {size} bytes at {offset} failed: {one_line(error)}"
            ) from error
        if len(data) != size:
            raise CorruptArchive(
                f"{self.url}: expected {size} bytes at {offset}, found {len(data)}"
            )
        return data

    def close(self) -> None:
        """Nothing is held open."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteDevice, (self.url,)
