"""Which task is it? One call from unlabelled data and masks to tasks and predictions."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.notebook import Shown, counted, first_names
from maskstore.packed import PackedMasks
from maskstore.registry import check_one_of
from supsup.choices import ModeName
from supsup.inference.auto import AUTO_OBJECTIVE, choose
from supsup.inference.bank import MaskBank
from supsup.inference.mask_source import MaskSource
from supsup.inference.methods import Method, parse_method
from supsup.inference.objectives import Objective, parse_objective
from supsup.inference.ood import free_energy
from supsup.inference.query import Query
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import chain_of
from supsup.networks.modes import plain_modes
from supsup.networks.probe import probe, require_neighbours
from supsup.tasks.arrays import INTEGERS, Inputs
from supsup.tasks.batch import count_of, images_at, map_inputs, tensors_of

MODES: tuple[str, ...] = get_args(ModeName)
"""Who decides: every image for itself; all of a batch together; its first image for all, which is
the paper's code's way."""

_MASKS_AT_ONCE = 32

_FAR = 10
"""Times the largest number of training that one may be: bytes among normalised ones are beyond."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Inference(Shown):
    """What was found for a batch; every array has one entry an image.

    Attributes:
        tasks: index of the mask in the bank.
        names: its name.
        predictions: class under that mask.
        energy: free energy under that mask (Liu et al., 2020, eq. 4): higher than usual where the
            image is like none of the mask's task (:class:`supsup.inference.ood.EnergyThreshold`).
        confidence: 0 to 1: how likely the found mask stands out from the others by more than
            chance; see :func:`confidence_of`.
        margin: evidence of the found mask less that of the next, in the method's unit; inf where
            there is no other.
        evidence: the method's evidence: a row an image, or one row where all decided together.
        method: name of the method used.
        objective: name of the objective.
        reason: why ``auto`` took the method; empty where it was named.
        labels: what the predicted class is called, None where that is not known; None where nobody
            asked an archive.
        files: the name of each image's file; None where they come from no folder.
        note: what was taken for granted of the images' numbers, and which masks were left out, a
            line each.
        strangeness: by prototypes, how unlike the images of the found task's classes it is: 0 in
            the mean of those, 1 where 95% of them are below; None where that is not known.
    """

    tasks: Int64[np.ndarray, " batch"]
    names: tuple[str, ...]
    predictions: Int64[np.ndarray, " batch"]
    energy: Float32[np.ndarray, " batch"]
    confidence: Float64[np.ndarray, " batch"]
    margin: Float64[np.ndarray, " batch"]
    evidence: Float64[np.ndarray, "group task"]
    method: str
    objective: str
    reason: str
    labels: tuple[str | None, ...] | None = None
    files: tuple[str, ...] | None = None
    note: str = ""
    strangeness: Float64[np.ndarray, " batch"] | None = None

    def _shown(self) -> str:
        found = list(dict.fromkeys(self.names))
        return (
            f"{counted(len(self.names), 'image')} of {counted(len(found), 'task')}, found by "
            f"{self.method}: {first_names(found)}"
        )


def infer(
    backbone: Backbone,
    masks: PackedMasks | MaskArchive | MaskSource,
    x: Inputs,
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
    classes: int | None = None,
    temperature: float = 1.0,
) -> Inference:
    """Find the task of unlabelled data and predict (paper, scenarios GNs and GNu).

    For more than one batch make a :class:`MaskBank` once and call :func:`infer_in`.

    Args:
        masks: packed masks in memory, or an archive, whose masks are then decoded in blocks.
        x: images as the network was trained on, normalised alike: one tensor, or a tuple or dict
            of them, where the network takes several.
        method: a name of ``METHODS``, ``auto``, or a method with its own settings.
        objective: a name of ``OBJECTIVES``, ``auto`` (:data:`AUTO_OBJECTIVE`), or an objective.
        mode: one of ``MODES``.
        classes: outputs that stand for a class, the first ones; None for all.
        temperature: of an objective given by name; ``auto`` has its own.

    Raises:
        InvalidInput: no masks; data that is not finite, of another type or size; a setting.
        LayoutMismatch: the masks are of another network.
    """
    bank = MaskBank(backbone, masks, classes=classes)
    if objective != "auto":
        objective = parse_objective(objective, temperature)
    return infer_in(bank, x, method=method, objective=objective, mode=mode)


@plain_modes()
def infer_in(
    bank: MaskBank,
    x: Inputs,
    *,
    method: str | Method = "auto",
    objective: str | Objective = "auto",
    mode: str = "image",
) -> Inference:
    """:func:`infer` with a bank that is there already; raises as it does."""
    check_one_of("mode", mode, MODES)
    x = parse_data(x, bank.levels, integers=takes_integers(bank.backbone, bank.integers))
    x = map_inputs(lambda each: _plain(each.to(bank.backbone.device)), x)
    look = probe(bank.backbone, x)  # what the network is not fit for is said first
    reason = ""
    if method == "auto":
        method, reason = choose(bank, images=count_of(x), mode=mode)
    if objective == "auto":
        objective = AUTO_OBJECTIVE
    method, objective = parse_method(method), parse_objective(objective)
    if mode == "first" and look.mixes_images:
        raise InvalidInput(
            "mode first asks the network about one image alone, and this one takes statistics of "
            "the batch; take mode batch, where all images decide together"
        )
    require_neighbours(bank.backbone, x)
    deciding = images_at(x, slice(1)) if mode == "first" else x
    query = Query(bank=bank, x=deciding, objective=objective, per_image=mode == "image")
    evidence = method.evidence(query)
    if np.isnan(evidence).any():
        raise InvalidInput(
            "inference: the network's answer is not finite; is the data scaled as in training?"
        )
    found = evidence.argmax(axis=1)
    repeat = 1 if mode == "image" else count_of(x)
    tasks = np.repeat(found, repeat)
    names = bank.names
    predictions, energy = predict(bank, x, tasks)
    return Inference(
        tasks=tasks,
        names=tuple(names[task] for task in tasks),
        predictions=predictions,
        energy=energy,
        confidence=np.repeat([confidence_of(row) for row in evidence], repeat),
        margin=np.repeat([margin_of(row) for row in evidence], repeat),
        evidence=evidence,
        method=method.name,
        objective=objective.name,
        reason=reason,
        strangeness=None if bank.prototypes is None else bank.prototypes.strangeness(x, tasks),
    )


def _plain(x: Tensor) -> Tensor:
    """A tensor that autograd can save, as those made in inference mode are not."""
    return x.clone() if x.is_inference() else x


def parse_data(
    x: Inputs, levels: tuple[float, float] | None = None, *, integers: bool | None = False
) -> Inputs:
    """Images that can be used.

    Args:
        levels: the range of the numbers that masks were trained on; None where it is not known.
        integers: see :func:`takes_integers`; several tensors may be what they like.

    Raises:
        InvalidInput: no batch of finite float32, parts of different lengths, or numbers of another
            range.
    """
    parts = {"data": x} if isinstance(x, Tensor) else _named(x)
    if not parts:
        raise InvalidInput(f"data: expected a batch of images, got an empty {type(x).__name__}")
    for what, each in parts.items():
        _check_part(what, each, integers=None if len(parts) > 1 else integers)
    if len({len(each) for each in parts.values()}) > 1:
        found = ", ".join(f"{len(each)} in {what}" for what, each in parts.items())
        raise InvalidInput(f"data: expected as many images in each, got {found}")
    if levels is not None:
        check_levels(x, *levels)
    return x


def _named(x: tuple[Tensor, ...] | dict[str, Tensor]) -> dict[str, Tensor]:
    named = x.items() if isinstance(x, dict) else enumerate(x)
    return {f"data [{name}]": each for name, each in named}


def check_type(what: str, x: Tensor, integers: bool | None) -> None:
    """Raise InvalidInput where an input is not of the type that masks were trained on.

    Args:
        integers: see :func:`takes_integers`.
    """
    if integers is False and x.dtype != torch.float32:
        raise InvalidInput(
            f"{what}: expected float32, got {x.dtype}; scale pixels as in training first"
        )
    if integers and x.dtype not in INTEGERS:
        raise InvalidInput(
            f"{what}: expected integers, as the masks were trained on, got {x.dtype}"
        )


def _check_part(what: str, x: Tensor, *, integers: bool | None) -> None:
    least = 2 if what == "data" else 1  # beside others a number an image may stand
    if x.ndim < least or not len(x):
        raise InvalidInput(
            f"{what}: expected a batch of at least one image, (batch, …), got shape "
            f"{tuple(x.shape)}"
        )
    check_type(what, x, integers)
    if x.dtype in INTEGERS:
        return
    check_type(what, x, integers=False)
    bad = int((~torch.isfinite(x)).flatten(1).any(1).sum()) if x.ndim > 1 else 0
    if bad or (x.ndim == 1 and not bool(torch.isfinite(x).all())):
        raise InvalidInput(
            f"{what}: {bad or 'some'} of {len(x)} images have numbers that are NaN or infinite"
        )


def check_levels(x: Inputs, black: float, white: float) -> None:
    """Raise InvalidInput where numbers are pixels that were not normalised as in training.

    Of several tensors the real numbers are looked at together, as the range of training is of all.
    """
    real = [each for each in tensors_of(x) if each.is_floating_point()]
    if not real:
        return
    low, high = min(float(each.min()) for each in real), max(float(each.max()) for each in real)
    unit = black < 0 <= low and high <= 1  # of a normalised image something is below 0
    if unit or max(-low, high) > _FAR * max(-black, white):
        raise InvalidInput(
            f"data: numbers from {low:g} to {high:g}, where the masks were trained on "
            f"{black:.2f} to {white:.2f}; normalise as in training"
        )


def takes_integers(backbone: Backbone, known: bool | None) -> bool | None:
    """Whether a network's one input is integers; None where both are taken.

    Args:
        known: whether masks were trained on integers. Where that is None, a network with a table to
            look integers up in takes both, any other real numbers.
    """
    if known is not None:
        return known
    tables = torch.nn.Embedding | torch.nn.EmbeddingBag
    return None if any(isinstance(part, tables) for part in backbone.module.modules()) else False


def predict(
    bank: MaskBank, x: Inputs, tasks: Int64[np.ndarray, " batch"]
) -> tuple[Int64[np.ndarray, " batch"], Float32[np.ndarray, " batch"]]:
    """Each image's class and free energy under the mask of its task.

    All images run together under each mask, so that nets with batch statistics see the whole batch;
    of chains of linear layers only those of the task.
    """
    predictions, energy = np.empty(count_of(x), np.int64), np.empty(count_of(x), np.float32)
    wanted = np.unique(tasks)
    alone = chain_of(bank.backbone) is not None
    for start in range(0, len(wanted), _MASKS_AT_ONCE):
        chosen = wanted[start : start + _MASKS_AT_ONCE]
        weights = bank.masked(chosen)
        for at, task in enumerate(chosen):
            of_task = np.flatnonzero(tasks == task)
            with torch.no_grad():
                images = images_at(x, of_task) if alone else x
                logits = bank.run(images, {name: w[at] for name, w in weights.items()})
                logits = logits[:, : bank.class_count(logits.shape[1], int(task))].float()
            if not alone:
                logits = logits[of_task]
            predictions[of_task] = logits.argmax(1).cpu().numpy()
            energy[of_task] = free_energy(logits, logits.shape[1]).cpu().numpy()
        bank.progress("predicting", start + len(chosen), len(wanted))
    return predictions, energy


def confidence_of(evidence: Float64[np.ndarray, " task"]) -> float:
    """The chance that the best mask's evidence would be lower, were that mask like the others.

    With the mean and deviation of the other n - 1 masks' evidence the best has a standard score z;
    the largest of n such normal draws stays below z with probability Φ(z)^n. Scale and number of
    masks drop out, unlike in the softmax of eq. 5, which is flat for thousands of masks whatever
    they say. For n <= 3, where there is no deviation to speak of, it is that softmax.
    """
    scores = np.sort(evidence[np.isfinite(evidence)])
    best, others = scores[-1], scores[:-1]
    if len(others) < 3:
        return float(1 / np.exp(scores - best).sum())
    spread = float(others.std())
    if spread == 0.0:
        return 1.0 / len(scores) if best == others[-1] else 1.0
    z = (best - float(others.mean())) / spread
    return float(torch.special.ndtr(torch.tensor(z, dtype=torch.float64, device="cpu"))) ** len(
        scores
    )


def margin_of(evidence: Float64[np.ndarray, " task"]) -> float:
    """The best evidence less the next; inf where there is no other."""
    if len(evidence) == 1:
        return float("inf")
    second, best = np.partition(evidence, -2)[-2:]
    return float(best - second)
