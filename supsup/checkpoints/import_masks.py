"""Masks out of other projects' checkpoints, into a new archive."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveExists, InvalidInput
from maskstore.items import MaskItem
from maskstore.layout import MaskLayout
from maskstore.maintenance import gone_if_empty
from maskstore.numbers import parse_whole
from maskstore.registry import check_one_of
from maskstore.storage.metadata import parse_name
from supsup.archives.network import create_archive
from supsup.checkpoints.names import NamedLayers, name_layers, named_weights
from supsup.checkpoints.paper import paper_scores
from supsup.checkpoints.piggyback import has_real_masks, packed_scores, piggyback_scores
from supsup.checkpoints.scores import CheckpointScores, tied
from supsup.checkpoints.whole import whole_network
from supsup.choices import CheckpointName
from supsup.networks.unpickle import load_checkpoint, numbers_of, state_of, without_parallel
from supsup.networks.weights import digest_of

KINDS: tuple[str, ...] = get_args(CheckpointName)


MASKS_ALONE = (
    "masks alone: the checkpoint has not all numbers of a network that ships here, or others "
    "beside them (a bias, a scale of normalisation); the archive cannot be evaluated or inferred "
    "with"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import made, and the sizes before and after in bytes.

    Attributes:
        net: the network whose names the layers have; None where they kept the checkpoint's.
        classes: how many each task has; None where nobody said and its network is not known.
        data: the data sets on whose test images the archive can be evaluated by itself.
        note: what the archive cannot do; empty where it has its network.
        tied: bits of all tasks among equal scores at a cut of ``topk``, of which nobody knows which
            the checkpoint's code kept; 0 where the masks are its own, bit for bit.
    """

    tasks: int
    bits_per_mask: int
    checkpoint_bytes: int
    archive_bytes: int
    kind: str
    net: str | None
    classes: int | None
    data: tuple[str, ...]
    note: str
    tied: int


def import_checkpoint(
    checkpoint: str | PathLike[str],
    archive: str | PathLike[str],
    *,
    kind: str | None = None,
    density: float | None = None,
    multiplier: float | None = None,
    name: str = "task",
    net: str | None = None,
    outputs: int | None = None,
    classes: int | None = None,
    on_task: Callable[[str], None] = lambda name: None,
) -> ImportReport:
    """Make an archive of the masks in a checkpoint, exactly as the code that wrote it masks.

    But for equal scores at the cut of ``topk``, of which that code keeps some or others.

    Args:
        checkpoint: ``final.pt`` of the paper's code (a ``state_dict`` with ``….scores.<task>``, or
            ``….scores`` for one task, beside an ``argparse.Namespace``), a Piggyback model's
            ``state_dict``, or a pack of its binary masks (``dataset2masks``).
        kind: ``threshold`` (score >= 0), ``topk`` (the largest |score| of each layer, as many as
            the paper's code keeps), or ``piggyback``; None takes the checkpoint's word.
        density: of ``topk``: the paper's ``--sparsity``; None takes the checkpoint's word.
        multiplier: instead of it, s of ``--er-sparsity``: min(0.5, s (in + out) / n) of a layer.
        name: tasks are called ``name/0``, ``name/1``, … by their number there, those of a pack
            ``name/DATASET``.
        net: the network after whose parameters the layers are named, see
            :func:`supsup.checkpoints.names.name_layers`; by default the one of ours that the
            checkpoint's architecture is.
        outputs: of ``net``; by default those of its last layer there.
        classes: of each task; by default all outputs, as the paper's code takes the largest of all.
            Those after the classes are its superfluous neurons.
        on_task: called with a task's name when its mask is made.

    Raises:
        InvalidInput: not such a checkpoint, one that would run code when loaded, one that holds no
            masks or ternary ones, or one that contradicts ``kind``, ``density``, ``multiplier`` or
            ``net``; or more classes than outputs. No archive was made.
        ArchiveExists, ArchiveWriteError: no archive was made.
    """
    checkpoint = Path(checkpoint)
    archive = Path(archive)
    if kind is not None:
        check_one_of("checkpoint kind", kind, KINDS)
    parse_name(f"{name}/0")
    if os.path.lexists(archive):
        raise ArchiveExists(f"{archive}: there is a file already; choose another path")
    found = _scores(checkpoint, kind, density, multiplier)
    _check_scores(checkpoint, found)
    first = next(iter(found.tasks.values()))
    named = name_layers(first, found.weights, arch=found.arch, net=net, outputs=outputs)
    layout = MaskLayout(dict(named.parameters.values()))
    about: dict[str, Any] = {"kind": found.kind, "checkpoint": checkpoint.name}
    if named.recipe is not None:
        recipe = named.recipe
        about |= {"net": recipe.net, "outputs": recipe.outputs, "options": dict(recipe.options)}
        classes = _class_count(classes, recipe.outputs)
    elif classes is not None:
        classes = parse_whole("classes", classes)
    weights = _weights(found, named, layout)
    names = {task: f"{name}/{task}" for task in found.tasks}
    for each in names.values():
        parse_name(each)

    tied_bits = 0

    def items() -> Iterator[MaskItem]:
        nonlocal tied_bits
        for task, layers in found.tasks.items():
            metadata: dict[str, Any] = {"imported": about}
            if (recipe := found.data.get(task)) is not None:
                metadata["task"] = recipe.to_json()
            if classes is not None:
                metadata["classes"] = classes
            own = {} if network is None else network.tensors.get(task, {})
            tensors = {each: numbers_of(each, values).numpy() for each, values in own.items()}
            masks, ties = _masks(found, named, layers)
            tied_bits += ties
            yield names[task], masks, metadata, tensors
            on_task(names[task])

    network = whole_network(checkpoint, found, named, weights, layout)
    if network is not None:
        made = create_archive(archive, network.backbone, embed=True)
    else:
        made = MaskArchive.create(
            archive,
            layout,
            weights_digest=digest_of(weights.items()) if weights else None,
            parameters=sum(tensor.numel() for tensor in weights.values()) or None,
        )
    with gone_if_empty(made):
        made.add_many(items())
        size = made.file_bytes
    return ImportReport(
        tasks=len(found.tasks),
        bits_per_mask=layout.bits,
        checkpoint_bytes=checkpoint.stat().st_size,
        archive_bytes=size,
        kind=found.kind,
        net=None if named.recipe is None else named.recipe.net,
        classes=classes,
        data=() if network is None else tuple({r.dataset for r in found.data.values()}),
        note=MASKS_ALONE if network is None else "",
        tied=tied_bits,
    )


def _class_count(classes: int | None, outputs: int) -> int:
    if classes is None:
        return outputs
    if parse_whole("classes", classes) > outputs:
        raise InvalidInput(f"classes: {classes} of them, and the network has {outputs} outputs")
    return int(classes)


def _scores(
    path: Path, kind: str | None, density: float | None, multiplier: float | None
) -> CheckpointScores:
    loaded = load_checkpoint(path)
    if not isinstance(loaded, Mapping):
        raise InvalidInput(f"{path}: expected a state_dict, found {type(loaded).__name__}")
    packed = "dataset2masks" in loaded
    state = {} if packed else without_parallel(state_of(path, loaded))
    if packed or (kind is None and has_real_masks(state)) or kind == "piggyback":
        if kind not in (None, "piggyback"):
            raise InvalidInput(f"{path}: a pack of Piggyback's masks; leave --mask {kind} out")
        if density is not None or multiplier is not None:
            raise InvalidInput(f"{path}: Piggyback's masks have no density to choose; leave it out")
        return packed_scores(path, loaded) if packed else piggyback_scores(path, loaded, state)
    return paper_scores(path, loaded, state, kind=kind, density=density, multiplier=multiplier)


def _check_scores(path: Path, found: CheckpointScores) -> None:
    """Dense finite scores of the same layers and shapes for every task."""
    shapes: dict[str, dict[str, torch.Size]] = {}
    for task, layers in found.tasks.items():
        for layer, scores in layers.items():
            if not bool(torch.isfinite(numbers_of(f"{layer} of task {task}", scores)).all()):
                raise InvalidInput(
                    f"{path}: scores of task {task} are not finite; that run had diverged"
                )
        shapes[task] = {layer: scores.shape for layer, scores in layers.items()}
    first = next(iter(shapes))
    for task, layers_of_task in shapes.items():
        if layers_of_task != shapes[first]:
            raise InvalidInput(f"{path}: task {task} has other layers or shapes than task {first}")


def _masks(
    found: CheckpointScores, named: NamedLayers, layers: Mapping[str, Tensor]
) -> tuple[dict[str, Any], int]:
    """Boolean arrays by our parameters' names and in their shapes; and bits at ties of ``topk``."""
    masks, ties = {}, 0
    for layer, given in layers.items():
        ours, shape = named.parameters[layer]
        scores = numbers_of(layer, given)
        mask = found.rules[layer](scores)
        ties += tied(scores, mask) if found.kind == "topk" else 0
        masks[ours] = mask.reshape(shape).numpy()
    return masks, ties


def _weights(found: CheckpointScores, named: NamedLayers, layout: MaskLayout) -> dict[str, Tensor]:
    """What the digest is of: all weights of a network that is known, else those under the masks."""
    values = {
        name: numbers_of(name, tensor)
        for name, tensor in found.weights.items()
        if tensor.is_floating_point() and tensor.layout is torch.strided
    }
    weights = named_weights(named, values)
    if named.recipe is None:
        return {name: weights[name] for name in layout.shapes if name in weights}
    return weights
