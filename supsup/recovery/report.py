"""What `recover` does and reports: whose mask was found, and how far every step was from it."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from hopfield import Recovery, masks_of, pattern_of
from maskstore import LayoutMismatch, MaskArchive
from supsup.archives import parse_device
from supsup.recovery.images import recovery_images
from supsup.recovery.mask_memory import MaskMemory


def recovery_json(
    known: MaskMemory, found: Recovery, task: str | None, archive: str | None
) -> dict[str, Any]:
    """The document of ``recover --json``.

    The true mask is at hand where an archive is given, and where the mask found is that of a
    stored task bit for bit, as its sha256 tells.

    Args:
        task: whose data these are; None where nobody said.
        archive: of the stored masks; None for no other source than the memory.

    Raises:
        LayoutMismatch: the archive is of another network.
    """
    stored = known.task_of(found.pattern)
    matched = None if stored is None else stored.name
    nearest, truth = matched, found.pattern if matched and matched == (task or matched) else None
    if archive is not None:
        with MaskArchive.open(archive) as opened:
            if opened.layout != known.layout:
                raise LayoutMismatch(f"{archive}: its masks are not those of the memory's network")
            masks = {name: pattern_of(opened.get(name), opened.layout) for name in opened.names()}
        apart = {name: np.count_nonzero(mask != found.pattern) for name, mask in masks.items()}
        nearest = min(apart, key=lambda name: apart[name], default=None)
        truth = masks.get(task or nearest or "")
    hamming = None if truth is None else found.hamming(truth)
    differ = None if truth is None else int(np.count_nonzero(found.pattern != truth))
    return {
        "task": None if found.known is False else matched,
        "nearest": nearest,
        "known": found.known,
        "hamming": differ,
        "exact": matched is not None and matched == (task or matched),
        "steps": found.steps,
        "restarts": found.restarts,
        "batches": found.batches,
        "entropy": found.entropy,
        "margin": found.margin,
        "trajectory": [
            {
                "step": at,
                "restart": step.restart,
                "energy": step.energy,
                "entropy": step.entropy,
                "hamming": None if hamming is None else hamming[at],
            }
            for at, step in enumerate(found.trajectory)
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A mask that was recovered.

    Attributes:
        masks: its layers.
        document: see :func:`recovery_json`.
    """

    masks: dict[str, Bool[np.ndarray, "..."]]
    document: dict[str, Any]


def recover_from(
    memory: str | PathLike[str],
    *,
    data: str | PathLike[str] | None = None,
    dataset: str | None = None,
    task: str | None = None,
    archive: str | None = None,
    recipe: str = "annealed",
    device: str = "cpu",
    trusted_net: str | None = None,
) -> Recovered:
    """Recover the mask that fits unlabelled images from a memory file alone.

    Args:
        data, dataset, task: see :func:`recovery_images`.
        archive: of the stored masks, only to count the bits that differ.
        recipe: see :meth:`MaskMemory.recover`.

    Raises:
        InvalidInput, ArchiveError: as :meth:`MaskMemory.open`, :func:`recovery_images` and
            :func:`recovery_json`.
    """
    memory = Path(memory)
    data = None if data is None else Path(data)
    known = MaskMemory.open(memory, device=parse_device(device), trusted_net=trusted_net)
    images = recovery_images(known, data=data, dataset=dataset, task=task)
    found = known.recover(images, recipe)
    return Recovered(
        masks=masks_of(found.pattern, known.layout),
        document=recovery_json(known, found, task, archive),
    )
