"""A learner and an archive together."""

from collections.abc import Iterable, Iterator

import numpy as np

from maskstore.archive import MaskArchive, StoredTask
from supsup.nns.learner import Learner
from supsup.nns.stream import StreamBatch


def learn_into(
    archive: MaskArchive, learner: Learner, stream: Iterable[StreamBatch], *, codec: str = "auto"
) -> Iterator[StoredTask]:
    """Keep each mask as soon as the stream leaves it or it has had its steps; durable when yielded.

    A mask that learns more later takes the place of what it was before.

    Raises:
        TrainingDiverged, ArchiveWriteError: the masks yielded so far are kept.
        TaskExists: the archive has masks of these names that are not this learner's.
    """
    kept: set[str] = set()
    for learned in learner.learn(stream):
        name, bits = learned.name, archive.layout.pack(learned.masks)
        if name in kept and np.array_equal(archive.get_packed(name), bits):
            yield archive.update(name, learned.metadata)
            continue
        with archive.transaction():
            if name in kept:
                archive.remove(name)
            stored = archive.add(name, learned.masks, learned.metadata, codec=codec)
        kept.add(name)
        yield stored
