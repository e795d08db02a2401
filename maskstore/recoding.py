"""The stored masks of an archive on their way to another file: codec number and payload of each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from maskstore import codecs
from maskstore.archive import MaskArchive
from maskstore.codecs.history import DIGEST_BYTES, HistoryCodec, reference_of
from maskstore.codecs.references import BLOCK, choose_references
from maskstore.errors import CorruptArchive
from maskstore.layout import sha256_of_bits
from maskstore.parallel import map_ahead

_BLOCK_BYTES = 1 << 29
"""What the masks that are compared with each other may take together."""


def kept(source: MaskArchive, names: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """The stored bytes of the tasks, except of those whose reference does not come along."""
    entries = map(source.entry, names)
    digests = {each.sha256[:DIGEST_BYTES] for each in entries if each.codec != HistoryCodec.id}
    for name in names:
        entry, stored = source.entry(name), source.stored_bytes(name)
        if entry.codec == HistoryCodec.id and reference_of(stored) not in digests:
            yield _recode(source, name, codecs.PRESETS["auto"], None)
        else:
            yield entry.codec, stored


def recoded(
    source: MaskArchive, names: Sequence[str], allowed: tuple[codecs.Codec, ...]
) -> Iterator[tuple[int, bytes]]:
    """Each mask as the codec among ``allowed`` stores it that takes the fewest bytes.

    Raises:
        CorruptArchive: a mask is damaged, or a codec does not give it back.
    """

    def recode(task: tuple[str, str | None]) -> tuple[int, bytes]:
        return _recode(source, task[0], allowed, task[1])

    with_history = any(codec.id == HistoryCodec.id for codec in allowed)
    yield from map_ahead(
        recode, _with_references(source, names) if with_history else ((n, None) for n in names)
    )


def _with_references(source: MaskArchive, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each task, and the one that it may be coded against."""
    size = max(1, min(BLOCK, _BLOCK_BYTES // source.layout.packed_bytes))
    for start in range(0, len(names), size):
        block = names[start : start + size]
        masks = list(source.packed(block).bits)
        priors = [_prior_of(source, name) for name in block]
        for name, at in zip(block, choose_references(masks, priors), strict=True):
            yield name, None if at is None else block[at]


def _prior_of(source: MaskArchive, name: str) -> codecs.Prior:
    return source.prior.of_task(source.task(name).metadata)


def _recode(
    source: MaskArchive, name: str, allowed: tuple[codecs.Codec, ...], reference: str | None
) -> tuple[int, bytes]:
    prior = _prior_of(source, name)
    if reference is not None:
        earlier = source.get_packed(reference)
        prior = replace(prior, reference=earlier, find=lambda digest: earlier)
    used, payload = codecs.encode(source.get_packed(name), prior, allowed)
    # The old bytes go once this returns: prove that the new ones give the same mask.
    if sha256_of_bits(used.decode(payload, prior)) != source.entry(name).sha256:
        raise CorruptArchive(
            f"{source.path}: task {name!r}: codec {used.name!r} does not give its mask back, so "
            "nothing was changed; please report this, and compact with another codec"
        )
    return used.id, payload
