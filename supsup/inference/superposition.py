"""The superposed network, and the gradient of an objective in all K coefficients at once.

With p(α) = f(x, W ⊙ Σ α_i M^i) (paper, eq. 4) and the effective weights U = W ⊙ Σ α_i M^i,

    ∂H/∂α_i = Σ_j M^i_j · W_j · ∂H/∂U_j,

so autograd runs once through one dense network, and all coefficients are one product of the packed
bits with the vector W ⊙ ∂H/∂U. What tasks have beside masks is superposed alike
(:mod:`supsup.inference.task_tensors`).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.inference.bank import MaskBank
from supsup.inference.kernels.base import from_flat, to_flat
from supsup.inference.linear import image_slopes
from supsup.inference.query import Query
from supsup.networks.linear_chain import chain_of
from supsup.networks.probe import probe
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import count_of, map_inputs, split_inputs

_GRADIENT_BYTES = 2**26
"""Memory for the gradients of single images that are held at a time."""


def superposed(bank: MaskBank, rows: Int64[np.ndarray, " n"] | None = None) -> dict[str, Tensor]:
    """U = W ⊙ mean of the masks of ``rows`` (None: all), and the mean of the tasks' tensors: the
    network at uniform α."""
    counts = bank.counts if rows is None else bank.count(rows)
    mean = counts.float()
    mean /= len(bank) if rows is None else len(rows)
    mean *= bank.weights
    layers = from_flat(bank.source.layout, mean)
    leaves = {name: layer.requires_grad_() for name, layer in layers.items()}
    return leaves | bank.tensors.mean(rows)


def gradients(
    query: Query, *, rows: Int64[np.ndarray, " n"] | None = None
) -> Float64[np.ndarray, "group task"]:
    """∂H/∂α_i at uniform α over the masks of ``rows`` (None: all).

    One gradient an image, or of the mean over the batch.

    Raises:
        InvalidInput: the data or the network's outputs cannot be used, or tasks differ in their
            number of classes.
    """
    bank = query.bank
    if bank.tensors.uneven:
        widths = bank.tensors.head_widths
        assert widths is not None
        raise InvalidInput(
            f"inference by superposition: the tasks have heads of {widths.min()} to "
            f"{widths.max()} outputs of their own, which cannot be superposed; use --method "
            "exhaustive, logits or prototypes"
        )
    if bank.class_counts is not None:
        raise InvalidInput(
            f"inference by superposition: the tasks have from {bank.class_counts.min()} to "
            f"{bank.class_counts.max()} classes, so one superposed answer has no entropy of theirs "
            "all; use --method exhaustive or logits"
        )
    chain = chain_of(bank.backbone)
    if query.per_image and chain is None and probe(bank.backbone, query.x).mixes_images:
        raise InvalidInput(
            f"gradients of one image at a time: network {bank.backbone.name} takes statistics of "
            "the batch and needs at least 2 images at a time; let all images decide together "
            "(mode batch), or use --method exhaustive, logits or prototypes"
        )
    weights = superposed(bank, rows)
    at_once = query.images
    if bank.source.in_memory:
        at_once = max(1, _GRADIENT_BYTES // bank.weights.nbytes)
    count = len(bank) if rows is None else len(rows)
    parts, done, groups = [], 0, query.images
    for images in split_inputs(query.x, at_once) if query.per_image else [query.x]:
        found = _slopes(replace(query, x=images), weights)
        flat = found.flat
        flat *= bank.weights
        products = []
        for where, bits in bank.source.blocks(rows):
            products.append(bank.kernels.multiply(bits, flat).cpu().double())
            bank.progress("weighing", done * count + count_of(images) * where.stop, groups * count)
        product = torch.cat(products, dim=1)
        if bank.tensors.any:
            product += bank.tensors.slopes(found.own, rows, len(product)).cpu().double()
        parts.append(product)
        done += count_of(images)
    return torch.cat(parts).numpy()


class _Slopes(NamedTuple):
    """∂H/∂U as flat, a row a group, and ∂H/∂T of the tasks' tensors by name."""

    flat: Float32[Tensor, "group numbers"]
    own: dict[str, Tensor]


def _slopes(query: Query, weights: dict[str, Tensor]) -> _Slopes:
    bank, x, objective = query.bank, query.x, query.objective
    layout = bank.source.layout
    if not query.per_image:
        slopes = _slope(query, x, weights)
        return _Slopes(to_flat(layout, slopes)[None], slopes)
    with torch.no_grad():
        logits = bank.run(x, weights)  # what is wrong with the data as a whole is said as such
    classes = bank.class_count(logits.shape[1])
    objective.check(logits.shape[1], classes)
    chain = chain_of(bank.backbone)
    if chain is not None and isinstance(x, Tensor) and chain.takes(x):
        return _Slopes(image_slopes(bank.backbone, chain, x, weights, objective, classes), {})

    def of_one(weights: dict[str, Tensor], image: Inputs) -> Tensor:
        return _value(query, map_inputs(lambda each: each[None], image), weights)

    try:
        if probe(bank.backbone, x).images_apart is None:
            each = torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0))(weights, x)
        else:
            alone = [_slope(query, image, weights) for image in split_inputs(x, 1)]
            each = {name: torch.stack([slope[name] for slope in alone]) for name in weights}
    except InvalidInput as error:
        raise InvalidInput(
            f"one image at a time: {error}; or let all images decide together (mode batch)"
        ) from error
    return _Slopes(to_flat(layout, each, batch=query.images), each)


def _slope(query: Query, x: Inputs, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """∂H/∂U of a batch by layer; 0 where a layer does not reach the logits."""
    backbone = query.bank.backbone
    # Held for the backward pass, too, in which checkpointed layers run again.
    with backbone.holding(weights):
        value = query.values(backbone.forward(x)).mean()
        slopes = torch.autograd.grad(
            value, list(weights.values()), allow_unused=True, materialize_grads=True
        )
    return dict(zip(weights, slopes, strict=True))


def _value(query: Query, x: Inputs, weights: dict[str, Tensor]) -> Float[Tensor, ""]:
    return query.values(query.bank.run(x, weights)).mean()
