"""What is added to an archive for one task, and the rows that it becomes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from bitarray import bitarray

from maskstore import codecs
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout, count_ones, sha256_of_bits
from maskstore.storage.format import KIND_MASK, KIND_MASK_WITH_TENSORS, KIND_TENSORS
from maskstore.storage.metadata import encode_metadata
from maskstore.storage.records import Record
from maskstore.storage.tensor_rows import tensor_record
from maskstore.tensors import StoredSet, TensorValue, encode_set

MaskItem = (
    tuple[str, Mapping[str, np.ndarray | bitarray], Mapping[str, Any]]
    | tuple[str, Mapping[str, np.ndarray | bitarray], Mapping[str, Any], Mapping[str, TensorValue]]
)
"""What ``add_many`` takes for one task: name, masks, metadata and, where it has any, tensors."""


def records_of_item(
    item: MaskItem,
    *,
    layout: MaskLayout,
    prior: codecs.Prior,
    allowed: tuple[codecs.Codec, ...],
    metadata_example: bytes,
) -> list[Record]:
    """The rows of a new task.

    Args:
        allowed: the codecs to choose among for the mask.

    Raises:
        InvalidMask, InvalidInput: masks, metadata or tensors cannot be stored.
    """
    if not isinstance(item, tuple) or len(item) not in (3, 4):
        raise InvalidInput(
            "task to add: expected (name, masks, metadata) and, where it has any, tensors, got "
            + (f"{len(item)} things" if isinstance(item, tuple) else type(item).__name__)
        )
    name, masks, metadata, *rest = item
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata of task {name!r}: expected a mapping, got {metadata!r:.80}")
    packed = layout.pack(masks)
    used, payload = codecs.encode(packed, prior.of_task(metadata), allowed)
    return records_of_task(
        name,
        encode_metadata(name, metadata, metadata_example),
        payload=payload,
        codec=used.id,
        ones=count_ones(packed),
        sha256=sha256_of_bits(packed),
        tensors=encode_set(f"task {name!r}", rest[0]) if rest and rest[0] else None,
    )


def records_of_task(
    name: str,
    metadata: bytes,
    *,
    payload: bytes,
    codec: int,
    ones: int,
    sha256: bytes,
    tensors: StoredSet | None,
) -> list[Record]:
    """The row of a mask and, behind it, that of the task's tensors."""
    mask = Record(
        kind=KIND_MASK if tensors is None else KIND_MASK_WITH_TENSORS,
        name=name.encode(),
        metadata=metadata,
        payload=payload,
        codec=codec,
        ones=ones,
        sha256=sha256,
    )
    return [mask] if tensors is None else [mask, tensor_record(KIND_TENSORS, name, tensors)]
