"""Checkpoints of the paper's code (``final.pt``) and of those with the same score tensors."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.checkpoints.scores import (
    CheckpointScores,
    MaskRule,
    erdos_renyi_density,
    threshold,
    topk,
)
from supsup.tasks.families import RULES
from supsup.tasks.recipe import TaskRecipe

_SCORES = re.compile(r"(?P<layer>.+)\.scores(?:\.(?P<task>\d+))?")
_NO_WEIGHT = re.compile(r".+\.(scores(\.\d+)?|score|running_mean|running_var|num_batches_tracked)")

_STATISTIC = re.compile(
    r"(?P<norm>.+?)(?:\.bns\.(?P<task>\d+))?\.(?P<kind>running_mean|running_var)"
)
"""``MultitaskNonAffineBN`` has a normalisation for each task, ``bns.<task>``."""

_RULE_OF = {
    "FastMultitaskMaskConv": "threshold",
    "StackedFastMultitaskMaskConv": "threshold",
    "MultitaskMaskConv": "topk",
    "MaskConv": "topk",
    "SubnetConv": "topk",
}
"""Layers of the paper's code, and of "What's Hidden in a Randomly Weighted Neural Network?"."""
_WITHOUT_MASKS = ("BatchEnsembles", "VectorizedBatchEnsembles", "PSPRotation")
_MASKS_NEURONS = "FastHopMaskBN"


def paper_scores(
    path: Path,
    loaded: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    kind: str | None,
    density: float | None,
    multiplier: float | None,
) -> CheckpointScores:
    """The scores in a checkpoint, and the rule by which the code that wrote it masks.

    Args:
        state: its ``state_dict``.
        kind, density, multiplier: what the user says of it; None takes the checkpoint's word.

    Raises:
        InvalidInput: it holds no masks, does not say enough about them, or contradicts the user.
    """
    args = loaded.get("args")
    said: dict[str, Any] = vars(args) if hasattr(args, "__dict__") else {}
    _require_masks(path, said, state)
    tasks = _by_task(path, said, state)
    layers = next(iter(tasks.values()))
    neurons = {layer for layer, scores in layers.items() if scores.ndim == 1}
    if said.get("bn_type") != _MASKS_NEURONS:
        neurons = set()
    rest = [layer for layer in layers if layer not in neurons]
    used = _kind_of(path, said, kind) if rest else "threshold"
    if not rest and kind not in (None, "threshold"):
        raise _contradiction(path, "--mask", kind, f"bn_type {_MASKS_NEURONS}: threshold")
    rules: dict[str, MaskRule] = dict.fromkeys(neurons, threshold)
    if used == "topk":
        density_of = _density_of(path, said, density, multiplier)
        for layer in rest:
            rules[layer] = partial(topk, density=density_of(layer, tuple(layers[layer].shape)))
    elif density is not None or multiplier is not None:
        raise InvalidInput(f"{path}: its masks are scores >= 0; leave the density out")
    else:
        rules |= dict.fromkeys(rest, threshold)
    arch = loaded.get("arch", said.get("model"))
    return CheckpointScores(
        kind=used,
        tasks=tasks,
        rules=rules,
        weights={name: each for name, each in state.items() if not _NO_WEIGHT.fullmatch(name)},
        statistics=_statistics(state, tasks),
        data=_data(said, tasks),
        arch=arch if isinstance(arch, str) else None,
    )


def _require_masks(path: Path, said: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    conv = said.get("conv_type")
    ensembles = any(re.fullmatch(r".+\.[st]\.\d+", name) for name in state)
    contexts = any(re.fullmatch(r".+\.contexts\.\d+", name) for name in state)
    if conv in _WITHOUT_MASKS or ensembles or contexts:
        found = conv or ("BatchEnsembles" if ensembles else "PSPRotation")
        raise InvalidInput(
            f"{path}: a checkpoint of {found}, which trains weights for each task and has "
            "no masks; there is nothing to import"
        )
    if said.get("individual_heads"):
        raise InvalidInput(
            f"{path}: made with --individual-heads, whose scores are weights of a head for each "
            "task and no masks; there is nothing to import"
        )
    if not any(_SCORES.fullmatch(name) for name in state):
        raise InvalidInput(
            f"{path}: no tensors named ….scores.<task> or ….scores among its {len(state)}; "
            "is it a checkpoint of another kind?"
        )


def _by_task(
    path: Path, said: Mapping[str, Any], state: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    found: dict[int | None, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        match = _SCORES.fullmatch(name)
        if match is not None:
            task = None if match["task"] is None else int(match["task"])
            found.setdefault(task, {})[match["layer"]] = tensor
    if None in found and len(found) > 1:
        raise InvalidInput(
            f"{path}: some layers have scores of one task, others of several; "
            "is it a checkpoint of another kind?"
        )
    # With --task-eval the code trains that task alone: other scores are still as they were drawn.
    only = said.get("task_eval")
    if isinstance(only, int) and not isinstance(only, bool):
        scores = found.get(None, found.get(only))
        if scores is None:
            raise InvalidInput(f"{path}: made with --task-eval {only}, has no scores of that task")
        return {str(only): scores}
    numbered = {0 if task is None else task: layers for task, layers in found.items()}
    return {str(task): numbered[task] for task in sorted(numbered)}


def _statistics(
    state: Mapping[str, Tensor], tasks: Mapping[str, object]
) -> dict[str, dict[str, Tensor]]:
    """Task → its running statistics: its own, and those that all tasks share."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if match := _STATISTIC.fullmatch(name):
            for task in tasks:
                if match["task"] in (None, task):
                    found.setdefault(task, {})[f"{match['norm']}.{match['kind']}"] = tensor
    return found


def _data(said: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, TaskRecipe]:
    """The data of ``--set``, where a family here has the same images, labels and pixel values.

    ``PartitionMNISTV2`` keeps the labels of MNIST; ``RotatingMNIST`` turns by whole degrees, to the
    nearest pixel. Others draw classes or pixels from NumPy's generator, or normalise otherwise.
    """
    rule, options = "", dict[str, str | int]()
    count = said.get("num_tasks")
    if said.get("set") == "PartitionMNISTV2":
        rule, options = "split", {"labels": "original"}
    elif said.get("set") == "RotatingMNIST" and type(count) is int and 0 < count <= 360:
        degrees = 360 // count
        if 360 % degrees:  # the families here end with one full turn
            return {}
        rule, options = "rotated", {"degrees": degrees, "sampling": "nearest"}
    if not rule:
        return {}
    most = RULES[rule].count(10, RULES[rule].parse_options(rule, options)) or 0
    return {
        task: TaskRecipe(dataset="mnist", rule=rule, index=int(task), options=options)
        for task in tasks
        if int(task) < most
    }


def _kind_of(path: Path, said: Mapping[str, Any], kind: str | None) -> str:
    conv = said.get("conv_type")
    known = _RULE_OF.get(conv) if isinstance(conv, str) else None
    if known is not None and kind not in (None, known):
        raise _contradiction(path, "--mask", kind, f"conv_type {conv}: {known}")
    if known is None and kind is None:
        about = "does not say" if conv is None else f"conv_type {conv!r} does not tell"
        raise InvalidInput(
            f"{path}: {about} how its scores become masks; say --mask threshold (score >= 0) or "
            "--mask topk with --density"
        )
    return known or str(kind)


def _density_of(
    path: Path, said: Mapping[str, Any], density: float | None, multiplier: float | None
) -> Callable[[str, tuple[int, ...]], float]:
    """Layer name and shape → the share of its weights that a mask keeps."""
    if density is not None and multiplier is not None:
        raise InvalidInput("density and multiplier: expected at most one of them")
    sparsity = _number(path, said, "sparsity" if "sparsity" in said else "prune_rate")
    per_layer = bool(said.get("er_sparsity"))
    if sparsity is not None:
        asked = multiplier if per_layer else density
        other = density if per_layer else multiplier
        if other is not None or asked not in (None, sparsity):
            told = "--density" if density is not None else "--multiplier"
            given = density if density is not None else multiplier
            er = " with er_sparsity" if per_layer else ""
            raise _contradiction(path, told, given, f"sparsity {sparsity}{er}")
        density, multiplier = (None, sparsity) if per_layer else (sparsity, None)
    if density is None and multiplier is None:
        raise InvalidInput(
            f"{path}: does not say which share of the weights its masks keep; say --density, or "
            "--multiplier for a checkpoint that was made with --er-sparsity"
        )
    if density is not None:
        share = density
        if not 0 < share <= 1:
            raise InvalidInput(f"{path}: density: expected a number in (0, 1], got {share}")
        return lambda layer, shape: share
    factor = multiplier or 0.0
    if not 0 < factor < math.inf:
        raise InvalidInput(f"{path}: multiplier: expected a positive number, got {factor}")

    def of_layer(layer: str, shape: tuple[int, ...]) -> float:
        if len(shape) < 2:
            raise InvalidInput(
                f"{path}: layer {layer!r} of shape {shape} has no inputs and outputs, "
                "from which er_sparsity takes its density"
            )
        return erdos_renyi_density(shape, factor)

    return of_layer


def _number(path: Path, said: Mapping[str, Any], key: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{path}: args.{key}: expected a number, found {value!r:.40}")
    return float(value)


def _contradiction(path: Path, option: str, given: object, found: str) -> InvalidInput:
    return InvalidInput(
        f"{path}: {option} {given} contradicts the checkpoint, which says {found}; "
        "leave the option out to take the checkpoint's word"
    )
