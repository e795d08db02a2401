"""A learner and an archive together."""

from collections.abc import Iterable, Iterator

from maskstore.archive import MaskArchive, StoredTask
from supsup.nns.kept import KeptLearner
from supsup.nns.learner import Learner
from supsup.nns.stream import StreamBatch


def learn_into(
    archive: MaskArchive,
    learner: Learner,
    stream: Iterable[StreamBatch],
    *,
    codec: str = "auto",
    kept: KeptLearner | None = None,
) -> Iterator[StoredTask]:
    """Keep each mask as soon as the stream leaves it or it has had its steps; durable when yielded.

    A mask that learns more later takes the place of what it was before.

    Args:
        kept: where the learner's state is kept, too, whenever a mask is, until the stream ends.
            Where one is kept that the archive belongs to, learning goes on from it, to the same
            masks, bits and metadata in the same order as if it had not been killed.

    Raises:
        TrainingDiverged, ArchiveWriteError: the masks yielded so far are kept.
        TaskExists: the archive has masks of these names that are not this learner's.
        InvalidInput: the state that is kept is damaged or of something else.
    """
    if kept is not None:
        kept.restore(learner, archive)
    # What was killed may have kept masks that the learner is about to learn again.
    ours = set(archive.names()) if kept is not None else set()
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
        if kept is not None:
            kept.save(learner)
        yield stored
    if kept is not None:
        kept.remove()
