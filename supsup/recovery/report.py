"""What `recover` reports: which task's mask was found, and how far every step was from it."""

from typing import Any

import numpy as np

from hopfield import Recovery, pattern_of
from maskstore import LayoutMismatch, MaskArchive
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
