"""Passes of a module in which a look compares what is computed alone with what is at once."""

import warnings
from collections.abc import Callable
from operator import itemgetter

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.networks.backbone import Backbone
from supsup.networks.explain import out_of_memory, reason_of
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs, tensors_of

Weights = dict[str, Tensor]

_ROUNDING = 1e-3
"""Relative difference of results that are the same but for the order of additions."""

_EQUAL = 1e-6
"""The same where the order is the same, too, but memory may lie otherwise."""


def gradients_of_leaves(
    module: Backbone, x: Inputs, weights: Weights, state: Weights
) -> tuple[Tensor, list[Tensor | None]]:
    """(logits, gradient of the loss towards output 0 by parameter) of a step of training.

    Args:
        state: tensors of a task, which the step changes.
    """
    leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    with module.holding({**leaves, **state}, training=True):
        logits = module.forward(x)
        gradients: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if logits.requires_grad:
            labels = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
            loss = F.cross_entropy(logits.float(), labels)
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise InvalidInput(
            f"network {module.name}: no gradient reaches a masked parameter from its logits, so "
            "there is nothing to train by; is its forward under torch.no_grad, detached, or under "
            "torch.utils.checkpoint with use_reentrant=True (False works)?"
        )
    return logits.detach(), list(gradients)


def one_step(module: Backbone, x: Inputs, weights: Weights) -> Tensor:
    """Logits, gradients and then tensors of one task, in a row."""
    state = {name: each.clone() for name, each in module.task_tensors.items()}
    logits, found = gradients_of_leaves(module, x, weights, state)
    filled = [
        torch.zeros_like(w) if gradient is None else gradient
        for w, gradient in zip(weights.values(), found, strict=True)
    ]
    return torch.cat([each.flatten().float() for each in (logits, *filled, *state.values())])


def shared_step(module: Backbone, x: Inputs, sets: list[Weights]) -> Float[Tensor, "task number"]:
    """What :func:`one_step` gives each task, in one pass of all."""
    leaves = {name: w.requires_grad_() for name, w in stack(sets).items()}
    state = stack([module.task_tensors] * len(sets))
    logits = torch.func.vmap(lambda x, w, s: module.run(x, {**w, **s}, training=True))(
        x, leaves, state
    )
    labels = torch.zeros(logits.shape[0] * logits.shape[1], dtype=torch.int64, device=logits.device)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), labels, reduction="none")
    loss = losses.view(len(sets), -1).mean(1).sum()
    found = torch.autograd.grad(
        loss, list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    rows = [
        each.detach().reshape(len(sets), -1).float() for each in (logits, *found, *state.values())
    ]
    return torch.cat(rows, dim=1)


def slopes_in_turn(module: Backbone, weights: Weights, x: Inputs) -> Float[Tensor, "image number"]:
    """The gradient of each image's energy, image by image."""
    count = len(tensors_of(x)[0])
    return torch.stack(
        [_slope(module, weights, map_inputs(itemgetter(at), x)) for at in range(count)]
    )


def shared_slopes(module: Backbone, weights: Weights, x: Inputs) -> Float[Tensor, "image number"]:
    """The same in one pass of all images."""

    def energy(weights: Weights, image: Inputs) -> Tensor:
        return _energy(module.run(_alone(image), weights))

    found = torch.func.vmap(torch.func.grad(energy), in_dims=(None, 0))(weights, x)
    return torch.cat([layer.flatten(1) for layer in found.values()], dim=1)


def _slope(module: Backbone, weights: Weights, image: Inputs) -> Float[Tensor, " number"]:
    leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    with module.holding(leaves):
        found = torch.autograd.grad(
            _energy(module.forward(_alone(image))),
            list(leaves.values()),
            allow_unused=True,
            materialize_grads=True,
        )
    return torch.cat([layer.flatten() for layer in found])


def _alone(image: Inputs) -> Inputs:
    """A batch of one image."""
    return map_inputs(lambda each: each[None], image)


def _energy(logits: Tensor) -> Tensor:
    return logits.float().logsumexp(1).sum()


def stack(sets: list[Weights]) -> Weights:
    """Several sets of weights, with an axis for them in front of each layer's."""
    return {name: torch.stack([each[name] for each in sets]) for name in sets[0]}


def why_apart(alone: Callable[[], Tensor], together: Callable[[], Tensor]) -> str | None:
    """Why the second is not the first, computed in one pass; None where it is.

    Where not even the first can be computed, whoever needs it will be told.
    """
    try:
        expected = alone()
    except Exception as error:
        if out_of_memory(error):
            raise
        return None
    try:
        with warnings.catch_warnings():
            # vmap warns where it falls back to a loop of its own, which is the slower one.
            warnings.simplefilter("error")
            found = together()
    except Exception as error:
        if out_of_memory(error):
            raise
        return reason_of(error)
    if close(expected, found, _ROUNDING):
        return None
    return "it computes something else for several at once"


def close(a: Tensor, b: Tensor, tolerance: float = _EQUAL) -> bool:
    """Whether two results are equal but for rounding, relative to the largest; NaN is NaN."""
    a, b = a.detach().double(), b.detach().double()
    size = float(b[b.isfinite()].abs().max()) if bool(b.isfinite().any()) else 1.0
    return a.shape == b.shape and torch.allclose(
        a, b, rtol=tolerance, atol=tolerance * max(size, 1e-6), equal_nan=True
    )
