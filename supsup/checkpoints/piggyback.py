"""Checkpoints of Piggyback (Mallya et al., 2018): real-valued masks, and packs of binary ones."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.checkpoints.scores import CheckpointScores, MaskRule
from supsup.networks.unpickle import require_values

PIGGYBACK_THRESHOLD = 5e-3
"""Piggyback keeps a weight whose real-valued mask is above this (``Binarizer`` of its layers)."""

_REAL_MASK = re.compile(r"(?P<layer>.+)\.mask_real")


def has_real_masks(state: Mapping[str, Tensor]) -> bool:
    """Whether a ``state_dict`` is one of Piggyback's."""
    return any(_REAL_MASK.fullmatch(name) for name in state)


def binarised(scores: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Above the threshold, which itself is out."""
    return scores > PIGGYBACK_THRESHOLD


def piggyback_scores(
    path: Path, loaded: Mapping[str, Any], state: Mapping[str, Tensor]
) -> CheckpointScores:
    """The real-valued masks of one model's ``state_dict``.

    Raises:
        InvalidInput: it holds none, or its masks have three values.
    """
    layers = {m["layer"]: t for n, t in state.items() if (m := _REAL_MASK.fullmatch(n))}
    if not layers:
        raise InvalidInput(
            f"{path}: no tensors named ….mask_real among its {len(state)}; "
            "is it a checkpoint of another kind?"
        )
    rule = getattr(loaded.get("args"), "threshold_fn", "binarizer")
    if rule != "binarizer":
        raise _ternary(path, f"threshold_fn {rule!r:.40}")
    return CheckpointScores(
        kind="piggyback",
        tasks={"0": layers},
        rules=dict.fromkeys(layers, binarised),
        weights={n: t for n, t in state.items() if n.removesuffix(".mask_real") not in layers},
    )


def packed_scores(path: Path, loaded: Mapping[str, Any]) -> CheckpointScores:
    """The binary masks that ``pack.py`` writes: ``dataset2masks``, by data set and module number.

    A layer is called ``modules.N``: N counts ``model.shared.modules()``, as ``pack.py`` does.

    Raises:
        InvalidInput: it holds none, of another structure, or masks with three values.
    """
    packs = loaded["dataset2masks"]
    wrong = f"{path}: dataset2masks: expected data set -> module number -> tensor"
    if not isinstance(packs, Mapping) or not packs:
        raise InvalidInput(wrong)
    tasks: dict[str, dict[str, Tensor]] = {}
    for dataset, masks in packs.items():
        if not isinstance(dataset, str) or not isinstance(masks, Mapping) or not masks:
            raise InvalidInput(wrong)
        tasks[dataset] = {}
        for number, mask in masks.items():
            if type(number) is not int or not isinstance(mask, Tensor):
                raise InvalidInput(wrong)
            if mask.dtype not in (torch.uint8, torch.bool, torch.int8):
                raise InvalidInput(f"{path}: mask {number}: expected bytes, found {mask.dtype}")
            require_values(f"{dataset}/{number}", mask)
            # -1 is 255 as a byte.
            if bool((mask.to(torch.uint8) > 1).any()):
                raise _ternary(path, f"masks of {dataset!r:.40} with values other than 0 and 1")
            tasks[dataset][f"modules.{number}"] = mask.float()
    rules: dict[str, MaskRule] = dict.fromkeys(next(iter(tasks.values())), _is_one)
    return CheckpointScores(kind="piggyback", tasks=tasks, rules=rules)


def _is_one(mask: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    return mask == 1


def _ternary(path: Path, found: str) -> InvalidInput:
    return InvalidInput(
        f"{path}: {found}: its masks are ternary (-1, 0, 1), and a mask here has two values, so "
        "negated weights would be lost; train it with --threshold_fn binarizer"
    )
