"""Masks out of other projects' checkpoints, and dense models out of an archive."""

import argparse
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors.torch import save
from torch import Tensor

from maskstore.archive import MaskArchive, MaskItem
from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.storage.atomic import write_file
from supsup.networks.backbone import Backbone
from supsup.networks.weights import digest_of

PIGGYBACK_THRESHOLD = 5e-3
"""Piggyback (Mallya et al., 2018) keeps a weight whose real-valued mask is above this."""

_TASK_SCORES = re.compile(r"(?P<layer>.+)\.scores\.(?P<task>\d+)")
_REAL_MASK = re.compile(r"(?P<layer>.+)\.mask_real")

MaskOf = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import made, and the sizes before and after in bytes."""

    tasks: int
    bits_per_mask: int
    checkpoint_bytes: int
    archive_bytes: int


def import_checkpoint(
    checkpoint: Path,
    archive: Path,
    *,
    kind: str,
    density: float = 0.5,
    on_task: Callable[[str], None] = lambda name: None,
) -> ImportReport:
    """Make an archive of the masks in a checkpoint.

    Args:
        checkpoint: ``final.pt`` of the paper's code (a ``state_dict`` with ``….scores.<task>``
            beside an ``argparse.Namespace``), or a Piggyback model's ``state_dict``.
        kind: ``threshold`` (score >= 0), ``topk`` (the largest |score| of each layer, as many as
            the paper's code keeps), or ``piggyback``.
        density: of ``topk``: the reference's ``sparsity``.
        on_task: called with a task's name when its mask is made.

    Returns:
        Tasks are called ``task/0``, ``task/1``, …, a Piggyback model's only one ``task/0``.

    Raises:
        InvalidInput: not a checkpoint of that kind, or one that would run code when loaded.
        ArchiveExists, ArchiveWriteError: no archive was made.
    """
    rules: dict[str, MaskOf] = {
        "threshold": lambda scores: scores >= 0,
        "topk": lambda scores: _reference_topk(scores, density),
        "piggyback": lambda scores: scores > PIGGYBACK_THRESHOLD,
    }
    if kind not in rules:
        raise InvalidInput(f"checkpoint kind {kind!r}: expected one of {', '.join(rules)}")
    if not 0 < density <= 1:
        raise InvalidInput(f"density: expected a number in (0, 1], got {density}")
    state = _load_state(checkpoint)
    scores = _scores_by_task(state, _REAL_MASK if kind == "piggyback" else _TASK_SCORES)
    if not scores:
        wanted = "….mask_real" if kind == "piggyback" else "….scores.<task>"
        raise InvalidInput(
            f"{checkpoint}: no tensors named {wanted} among its {len(state)}; "
            "is it a checkpoint of another kind?"
        )
    for task, layers in scores.items():
        if not all(bool(torch.isfinite(tensor).all()) for tensor in layers.values()):
            raise InvalidInput(
                f"{checkpoint}: scores of task {task} are not finite; that run had diverged"
            )
    first = scores[min(scores)]
    layout = _layout_of(first)
    for task, layers in scores.items():
        if _layout_of(layers) != layout:
            raise InvalidInput(
                f"{checkpoint}: task {task} has other layers or shapes than task {min(scores)}"
            )
    weights = [(name, state[name]) for name in layout.shapes if name in state]
    with MaskArchive.create(
        archive,
        layout,
        weights_digest=digest_of(weights) if weights else None,
        parameters=sum(tensor.numel() for _, tensor in weights) or None,
    ) as made:

        def items() -> Iterator[MaskItem]:
            about = {"imported": {"kind": kind, "checkpoint": checkpoint.name}}
            for task, layers in sorted(scores.items()):
                masks = {name: rules[kind](each.float()).numpy() for name, each in layers.items()}
                yield f"task/{task}", masks, about
                on_task(f"task/{task}")

        made.add_many(items())
        size = made.file_bytes
    return ImportReport(
        tasks=len(scores),
        bits_per_mask=layout.bits,
        checkpoint_bytes=checkpoint.stat().st_size,
        archive_bytes=size,
    )


def export_dense(archive: MaskArchive, task: str, backbone: Backbone, path: Path) -> int:
    """Write a task as a dense model: W ⊙ M and every other parameter, as safetensors.

    Returns:
        Bytes written.

    Raises:
        TaskNotFound, CorruptArchive: as :meth:`MaskArchive.get`.
        InvalidInput: the path does not end in ``.safetensors``.
        DigestMismatch: the archive's masks are of other weights.
        ArchiveWriteError: the system refuses.
    """
    if path.suffix != ".safetensors":
        raise InvalidInput(f"{path}: expected a file that ends in .safetensors")
    backbone.check_archive(archive)
    masks = backbone.tensors(archive.get(task))
    state = dict(backbone.module.state_dict()) | backbone.masked(masks)
    return write_file(
        path, save({name: tensor.detach().contiguous().cpu() for name, tensor in state.items()})
    )


def _load_state(path: Path) -> Mapping[str, Tensor]:
    """The state_dict in a checkpoint, with nothing of it executed."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot read: {error.strerror or error}") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{path}: not a checkpoint of tensors alone ({reason[:120]}); "
            "save its state_dict with torch.save(model.state_dict(), …) where its code is at hand"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, Mapping):
        raise InvalidInput(f"{path}: expected a state_dict, found {type(loaded).__name__}")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _layout_of(layers: Mapping[str, Tensor]) -> MaskLayout:
    return MaskLayout({layer: tuple(tensor.shape) for layer, tensor in layers.items()})


def _scores_by_task(
    state: Mapping[str, Tensor], pattern: re.Pattern[str]
) -> dict[int, dict[str, Tensor]]:
    """Task number → layer (``….weight``) → scores, in the checkpoint's order of layers."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        match = pattern.fullmatch(name)
        if match is not None:
            task = int(match.groupdict().get("task", 0))
            found.setdefault(task, {})[f"{match['layer']}.weight"] = tensor
    return found


def _reference_topk(scores: Float[Tensor, "..."], density: float) -> Bool[Tensor, "..."]:
    """As many as the reference keeps, its ``int((1 - k) * n)`` included: the masks it ran with."""
    dropped = int((1 - density) * scores.numel())
    order = scores.abs().flatten().argsort(stable=True)
    mask = torch.ones(math.prod(scores.shape), dtype=torch.bool, device=scores.device)
    mask[order[:dropped]] = False
    return mask.view(scores.shape)
