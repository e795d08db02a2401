"""All masks of an archive in one Hopfield memory."""

from collections.abc import Callable
from itertools import repeat
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from hopfield import layer_blocks, new_memory, pattern_of, quantised
from hopfield.rules.dense import MatrixMemory
from maskstore import InvalidInput, MaskArchive
from supsup.archives import backbone_of, tasks_of
from supsup.networks.statistics import check_masks_suffice
from supsup.recovery.mask_entropy import accepted_entropy
from supsup.recovery.mask_memory import KnownTask, MaskMemory
from supsup.training.metadata import TaskMetadata


def encode_archive(
    archive: MaskArchive,
    *,
    rule: str = "projection",
    form: str | None = None,
    bits: int | None = None,
    device: str | torch.device = "cpu",
    trusted_net: str | None = None,
    weights: str | PathLike[str] | None = None,
    data_dir: str | PathLike[str] | None = None,
    on_task: Callable[[str], None] = lambda name: None,
) -> MaskMemory:
    """A memory of all masks of an archive.

    Args:
        rule, form: see :func:`hopfield.new_memory`.
        weights: see :func:`supsup.archives.backbone_of`.
        bits: of each synapse; None for float32.

    Raises:
        InvalidInput: an empty archive or one without a network, masks too large for the rule, or
            bits for a memory that is no matrix.
    """
    data_dir = None if data_dir is None else Path(data_dir)
    backbone = backbone_of(archive, device=device, trusted_net=trusted_net, weights=weights)
    if not len(archive):
        raise InvalidInput(f"{archive.path}: no masks to encode; add some first")
    check_masks_suffice(backbone, "a memory of bits")
    layout = archive.layout
    blocks = layer_blocks(layout) if form == "blocks" else ()
    memory = new_memory(rule, layout.bits, form=form, blocks=blocks)
    calibrated = all(TaskMetadata.of(stored).task for stored in archive)
    data = tasks_of(archive, data_dir) if calibrated else repeat(None)
    total = np.zeros(layout.bits)
    known = []
    for stored, task in zip(archive, data, strict=calibrated):
        pattern = pattern_of(archive.get(stored.name), layout)
        memory.encode(pattern)
        total += pattern
        mask = (pattern + 1.0) / 2
        known.append(
            KnownTask(
                name=stored.name,
                sha256=stored.sha256,
                recipe=TaskMetadata.of(stored).task,
                accept=None if task is None else accepted_entropy(backbone, task, mask),
            )
        )
        on_task(stored.name)
    if bits is not None:
        if not isinstance(memory, MatrixMemory):
            raise InvalidInput(f"bits: only a matrix is rounded, form {memory.form!r} has none")
        memory = quantised(memory, bits)
    return MaskMemory(
        memory=memory, backbone=backbone, tasks=tuple(known), start=total / memory.count
    )
