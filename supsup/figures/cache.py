"""What was measured once, kept with the settings it was measured with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskstore.storage.atomic import write_file
from supsup.archives import make_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of measurements, one JSON document each, and of what they are made from.

    A document is written whole or not at all, so a long study goes on where it was stopped.

    Attributes:
        folder: made when something is first put there.
    """

    folder: Path

    def cached(self, name: str, settings: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """What ``make`` returns, as JSON gives it back, measured once for the same settings.

        Args:
            name: of the document; other settings under the same name replace it.

        Raises:
            ArchiveWriteError: the system refuses.
        """
        found = self.found(name, settings)
        if found is None:
            found = _as_json(make())
            make_folder(self.folder)
            document = {"settings": _as_json(settings), "result": found}
            write_json(self.folder / f"{name}.json", document)
        return found

    def found(self, name: str, settings: Mapping[str, Any]) -> Any:
        """What was measured with those settings; None where nothing was, or not to its end."""
        try:
            document = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(document, dict) or document.get("settings") != _as_json(settings):
            return None
        return document.get("result")

    def path(self, name: str) -> Path:
        """Where a file of that name is, or goes; the folder is there.

        Raises:
            ArchiveWriteError: the system refuses to make it.
        """
        make_folder(self.folder)
        return self.folder / name


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Put a document in the place of what is there, all at once.

    Raises:
        ArchiveWriteError: the system refuses.
    """
    write_file(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
