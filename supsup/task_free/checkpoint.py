"""What a learner knows beside its masks, in a folder beside the archive, so that it can go on.

``a.h5.learning/`` holds ``state``, two lines: the sha256 of the second, which is JSON (settings,
the place in the stream, the numbers of every mask), and for each mask that can still learn its
scores, raw little-endian float32, and an ``.npz`` of what the allocation rule knows where it
keeps anything. The state names these files and their sha256. A file is durable
before a state names it, and a new state takes the old one's place in one step.

:func:`learn_into` runs a learner into an archive, and goes on where one was cut.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidInput
from maskstore.layout import sha256_of_bits
from maskstore.packed import StoredTask
from maskstore.storage.atomic import sync_folder, write_file
from supsup.task_free.learner import Learner
from supsup.task_free.stream import StreamBatch
from supsup.tasks import TaskRecipe


class LearnerCheckpoint:
    """The folder of one archive.

    Attributes:
        folder: where it is.
    """

    def __init__(self, archive: str | Path, settings: Mapping[str, Any]) -> None:
        """Look at nothing yet.

        Args:
            settings: JSON: all that decides what is learnt; a learner goes on with the same only.
        """
        path = Path(archive)
        self.folder = path.with_name(f"{path.name}.learning")
        self._settings = json.loads(json.dumps(settings))
        self._named: set[str] = set()  # files that the state names

    def restore(self, learner: Learner, archive: MaskArchive) -> None:
        """Bring a new learner to where the one before it was; an empty archive begins anew, and its
        state is kept before the first mask can be.

        Raises:
            InvalidInput: there is no whole state that belongs to the archive and the settings.
        """
        path = self.folder / "state"
        if not path.exists():
            if len(archive):
                raise InvalidInput(
                    f"{archive.path}: there is no {path} to go on from; what was learnt there came "
                    "to its end, or the folder was lost: learn into another archive"
                )
            self.save(learner)
            return
        state = self._read_state(path)
        for key, wanted in self._settings.items():
            found = state["settings"].get(key)
            if found != wanted:
                if other := _other_images(found, wanted) if key == "tasks" else None:
                    raise InvalidInput(
                        f"{archive.path}: it was begun on other images ({other}); resume with the "
                        "same, or learn into another archive"
                    )
                raise InvalidInput(
                    f"{archive.path}: it was begun with {key} {found!r}, asked for {wanted!r}; "
                    "resume with the same settings, or learn into another archive"
                )
        scores, masks = {}, {}
        for each in state["learner"]["masks"]:
            name, file = each["name"], each.pop("file")
            if file is not None:
                scores[name] = self._read_scores(file, each.pop("sha256"), archive.layout.bits)
                self._named.add(file)
                continue
            bits = archive.get_packed(name) if name in archive else None
            if bits is None or sha256_of_bits(bits).hex() != each["given"]:
                raise InvalidInput(
                    f"{path}: mask {name!r} is not the one in {archive.path}; they do not belong "
                    "together: learn into another archive"
                )
            masks[name] = archive.layout.unpack(bits)
        learner.restore(state["learner"], scores, masks)
        if (kept := state["learner"].get("allocation")) is not None:
            content = self._read(kept["file"], kept["sha256"])
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                learner.allocation.restore(dict(arrays))
            self._named.add(kept["file"])

    def save(self, learner: Learner) -> None:
        """Keep the learner as it is, where it can be kept: between two batches.

        Raises:
            ArchiveWriteError: the system refuses.
        """
        state = learner.state()
        if state is None:
            return
        named = set()
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()
                sync_folder(self.folder.parent)
            for each, scores in zip(state["masks"], learner.scores(), strict=True):
                each["file"] = None
                if scores is None:
                    continue
                each["file"] = f"{each['name'].replace('/', '-')}.{each['steps']}.f32"
                content = scores.astype("<f4").tobytes()
                each["sha256"] = hashlib.sha256(content).hexdigest()
                named.add(each["file"])
                if each["file"] not in self._named:
                    write_file(self.folder / each["file"], content)
            if arrays := learner.allocation.arrays():
                packed = io.BytesIO()
                write: Any = np.savez  # whose stubs take any name for one of its options
                write(packed, **arrays)
                content = packed.getvalue()
                name = f"allocation.{state['report']['batches']}.npz"
                state["allocation"] = {
                    "file": name,
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                named.add(name)
                write_file(self.folder / name, content)
            text = json.dumps({"settings": self._settings, "learner": state})
            digest = hashlib.sha256(text.encode()).hexdigest()
            write_file(self.folder / "state", f"{digest}\n{text}\n".encode())
            for file in self.folder.iterdir():
                if file.suffix in (".f32", ".npz") and file.name not in named:
                    file.unlink()
        except ArchiveWriteError:
            raise
        except OSError as error:
            raise ArchiveWriteError(f"{self.folder}: cannot write: {error}") from error
        self._named = named

    def remove(self) -> None:
        """Nothing more to go on with."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_state(self, path: Path) -> dict[str, Any]:
        try:
            digest, text = path.read_text("utf-8").rstrip("\n").split("\n", 1)
            if digest == hashlib.sha256(text.encode()).hexdigest():
                return dict(json.loads(text))
        except (OSError, ValueError):
            pass
        raise InvalidInput(f"{path}: damaged; learn into another archive")

    def _read_scores(self, file: str, digest: str, bits: int) -> Float32[np.ndarray, " bits"]:
        content = self._read(file, digest, 4 * bits)
        return np.frombuffer(content, "<f4").astype(np.float32)

    def _read(self, file: str, digest: str, size: int | None = None) -> bytes:
        path = self.folder / file
        try:
            content = path.read_bytes() if size in (None, path.stat().st_size) else b""
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise InvalidInput(f"{path}: missing or damaged; learn into another archive")
        return content


def _other_images(found: Any, wanted: Any) -> str | None:
    """What the user's own images of two lists of recipes differ in; None of others."""
    for kept, other in zip(found or (), wanted, strict=False):
        mine, its = (TaskRecipe.from_json(each).own for each in (kept, other))
        if mine is not None and its is not None and (told := mine.difference(its)):
            return told
    return None


def learn_into(
    archive: MaskArchive,
    learner: Learner,
    stream: Iterable[StreamBatch],
    *,
    codec: str = "auto",
    checkpoint: LearnerCheckpoint | None = None,
) -> Iterator[StoredTask]:
    """Keep each mask as soon as the stream leaves it or it has had its steps; durable when yielded.

    A mask that learns more later takes the place of what it was before.

    Args:
        checkpoint: where the learner's state is kept, whenever a mask is, until the stream ends.
            Where one is kept that the archive belongs to, learning goes on from it, to the same
            masks, bits and metadata in the same order as if it had not been killed.

    Raises:
        TrainingDiverged, ArchiveWriteError: the masks yielded so far are kept.
        DigestMismatch: the archive's masks are of another backbone's weights.
        TaskExists: the archive has masks of these names that are not this learner's.
        InvalidInput: the state that is kept is damaged or of something else.
    """
    learner.backbone.check_archive(archive)
    if checkpoint is not None:
        checkpoint.restore(learner, archive)
    # What was killed may have kept masks that the learner is about to learn again.
    ours = set(archive.names()) if checkpoint is not None else set()
    for learned in learner.learn(stream):
        name = learned.name
        # Not compared with the archive: going on must end in the order of an unbroken run.
        if name in ours and not learned.changed:
            stored = archive.update(name, learned.metadata)
        else:
            with archive.transaction():
                if name in ours:
                    archive.remove(name)
                stored = archive.add(name, learned.masks, learned.metadata, codec=codec)
            ours.add(name)
        if checkpoint is not None:
            checkpoint.save(learner)
        yield stored
    if checkpoint is not None:
        checkpoint.remove()
