"""One look at a user's module on a few of its inputs, before anything is trained, stored or said.

It is run forward and backward, in training and in evaluation mode, alone and as several tasks share
a step (``torch.func.vmap``). What cannot be done rightly is refused in a line that names the layer;
what only has to be done one task, mask or image at a time is noted.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.notebook import counted
from supsup.networks.backbone import Backbone
from supsup.networks.construct import remade
from supsup.networks.constructor_randomness import same
from supsup.networks.explain import out_of_memory, reason_of
from supsup.networks.linear_chain import chain_of
from supsup.networks.modes import plain_modes, seeded_generators
from supsup.networks.neighbours import mixes_images, one_image_alone
from supsup.networks.passes import (
    Weights,
    close,
    gradients_of_leaves,
    one_step,
    shared_slopes,
    shared_step,
    slopes_in_turn,
    stack,
    why_apart,
)
from supsup.networks.per_task import heads_of
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import count_of, join_inputs, map_inputs

PROBED = 4
"""Inputs that are looked at, the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a module can be run; the defaults are those of this package's own networks.

    Attributes:
        untrainable: why it cannot be trained, in one line; None where it can.
        draws: whether its training forward draws random numbers, as dropout does. Such a module
            trains one task at a time, its numbers set from seed, start and step.
        unused: masked parameters that do not reach the logits; their scores stay as they began.
        apart: why tasks cannot share a step, so that they take turns in it; None where they can.
        masks_apart: the same of masks in inference.
        images_apart: the same of images in inference by gradients of single ones.
        heads: per-task parameters whose rows are the outputs
            (:func:`supsup.networks.per_task.heads_of`).
        mixes_images: whether an image's answer depends on those beside it, as where normalisation
            takes statistics of the batch.
    """

    untrainable: str | None = None
    draws: bool = False
    unused: tuple[str, ...] = ()
    apart: str | None = None
    masks_apart: str | None = None
    images_apart: str | None = None
    heads: tuple[str, ...] = ()
    mixes_images: bool = False


def probe(backbone: Backbone, x: Inputs) -> Probe:
    """What is to be known of a backbone; found out the first time, on the first inputs of ``x``.

    Raises:
        InvalidInput: the network does not take such data, gives no logits, or does not give the
            same ones each time.
    """
    if not isinstance(x, Tensor) and _known(backbone):
        raise InvalidInput(
            f"network {backbone.name}: takes one tensor of images, got a {type(x).__name__} of "
            f"{counted(len(x), 'tensor')}; give the tensor itself"
        )
    if backbone.probed is None:
        if not count_of(x):
            return Probe()  # nothing can be found out on no images
        found = Probe() if _known(backbone) else _look(backbone, x)
        rows = map_inputs(lambda each: _few(each.to(backbone.device)), x)
        with plain_modes():
            mixes = mixes_images(lambda x: backbone.run(x, backbone.weights), rows)
        backbone.probed = replace(found, heads=_heads(backbone, rows), mixes_images=mixes)
    return backbone.probed


def trainable(backbone: Backbone, x: Inputs) -> Probe:
    """:func:`probe`, of a network that can be trained; raises InvalidInput where it cannot."""
    found = probe(backbone, x)
    if found.untrainable is not None:
        raise InvalidInput(found.untrainable)
    return found


def require_neighbours(backbone: Backbone, x: Inputs, what: str = "data") -> None:
    """Raise InvalidInput where one image is given to a network that takes statistics of the batch.

    A convolution's would be those of that image's own pixels: an answer, but another network's.
    """
    if count_of(x) == 1 and probe(backbone, x).mixes_images:
        raise one_image_alone(what, f"network {backbone.name}")


def _known(backbone: Backbone) -> bool:
    """Whether all is known of a network without a look."""
    return backbone.ships or chain_of(backbone) is not None


@plain_modes()
def _heads(backbone: Backbone, rows: Inputs) -> tuple[str, ...]:
    if not backbone.own_parameters:
        return ()
    scratch = backbone.replica()
    with torch.no_grad():
        return heads_of(backbone.own_parameters, lambda own: scratch.run(rows, own))


@plain_modes()
def _look(backbone: Backbone, x: Inputs) -> Probe:
    rows = map_inputs(lambda each: _few(each.to(backbone.device)), x)
    scratch = backbone.replica(buffers=True)
    replaced = {**backbone.weights, **backbone.own_parameters}
    whole = {name: w.detach().clone() for name, w in replaced.items()}
    sets = [whole, {name: w * _uneven(w) for name, w in whole.items()}]
    with torch.no_grad():
        answers = _same_each_time(backbone, scratch, rows, whole)
        if backbone.recipe is not None:
            _same_when_remade(backbone, rows, whole, answers)
    masks_apart = why_apart(
        lambda: torch.stack([scratch.run(rows, each | scratch.task_tensors) for each in sets]),
        lambda: torch.func.vmap(scratch.run, in_dims=(None, 0))(
            rows, stack([each | scratch.task_tensors for each in sets])
        ),
    )
    images_apart = why_apart(
        lambda: slopes_in_turn(scratch, whole, rows), lambda: shared_slopes(scratch, whole, rows)
    )
    try:
        draws = _draws_in_training(backbone, scratch, rows, whole)
        unused = _unused(scratch, rows, whole)
    except InvalidInput as error:
        return Probe(untrainable=str(error), masks_apart=masks_apart, images_apart=images_apart)
    apart = "its forward draws random numbers"
    if not draws:
        found = why_apart(
            lambda: torch.stack([one_step(scratch, rows, each) for each in sets]),
            lambda: shared_step(scratch, join_inputs([rows, rows], torch.stack), sets),
        )
        return Probe(unused=unused, apart=found, masks_apart=masks_apart, images_apart=images_apart)
    return Probe(
        draws=True, unused=unused, apart=apart, masks_apart=masks_apart, images_apart=images_apart
    )


def _few(x: Tensor) -> Tensor:
    """The first images, a copy; at least two, as statistics of a batch need."""
    return x[:PROBED].clone() if len(x) > 1 else torch.cat([x, x])


def _uneven(weight: Tensor) -> Tensor:
    """1, ½, 1, ½, …: other weights of about the same size, none of them 0."""
    order = torch.arange(weight.numel(), dtype=torch.int64, device=weight.device)
    return (1.0 - 0.5 * (order % 2).to(weight.dtype)).view(weight.shape)


def _answers(
    module: Backbone, x: Inputs, weights: Weights, *, training: bool
) -> tuple[list[Tensor], bool]:
    """Three answers, the last under another seed; and whether a generator moved."""
    answers, moved = [], False
    with module.holding(weights, training=training):
        for seed in (0, 0, 1):
            with seeded_generators(module.device, seed):
                before = torch.get_rng_state()
                answers.append(module.forward(x))
                moved |= not torch.equal(before, torch.get_rng_state())
    return answers, moved


def _same_each_time(backbone: Backbone, scratch: Backbone, x: Inputs, weights: Weights) -> Tensor:
    answers, _ = _answers(scratch, x, weights, training=False)
    _check_state(backbone, scratch, answers, "evaluation")
    if not close(answers[1], answers[2]):
        raise InvalidInput(
            f"network {backbone.name}: draws random numbers in evaluation, so that no answer could "
            "be had again; draw only where self.training is set (F.dropout takes training=)"
        )
    return answers[0]


def _same_when_remade(backbone: Backbone, x: Inputs, weights: Weights, answers: Tensor) -> None:
    assert backbone.recipe is not None
    other = remade(backbone).to(backbone.device)
    if not close(answers, other.run(x, weights)):
        raise InvalidInput(
            f"network {backbone.name}: answers otherwise each time it is made, with equal "
            "parameters and buffers: its constructor draws something else at random; draw it from "
            "a generator with a seed of its own, or make it a parameter"
        )


def _draws_in_training(backbone: Backbone, scratch: Backbone, x: Inputs, weights: Weights) -> bool:
    with torch.no_grad():
        answers, moved = _answers(scratch, x, weights, training=True)
    _check_state(backbone, scratch, answers, "training")
    return moved or not close(answers[1], answers[2])


def _check_state(backbone: Backbone, scratch: Backbone, answers: list[Tensor], mode: str) -> None:
    """Raise InvalidInput where a forward leaves something behind that could reach another task."""
    now = dict(scratch.module.named_buffers())
    for name, buffer in backbone.module.named_buffers():
        if not same(buffer, now.get(name)):
            raise InvalidInput(
                f"network {backbone.name}: its forward changes buffer {name!r} in {mode}, which "
                "would carry over from task to task; leave it as it is there, or keep what it "
                "counts outside the module"
            )
    if not close(answers[0], answers[1]):
        raise InvalidInput(
            f"network {backbone.name}: answers otherwise when it is asked again in {mode}: its "
            "forward keeps something in an attribute, which would carry over from task to task; "
            "compute it anew in each forward"
        )


def _unused(scratch: Backbone, x: Inputs, weights: Weights) -> tuple[str, ...]:
    """Masked parameters without a gradient."""
    try:
        found = gradients_of_leaves(scratch, x, weights, {})[1]
    except Exception as error:
        if out_of_memory(error) or isinstance(error, InvalidInput):
            raise
        advice = "try the module's own backward pass"
        if "reentrant" in str(error):
            advice = "of torch.utils.checkpoint, use_reentrant=False works"
        raise InvalidInput(
            f"network {scratch.name}: its backward pass fails ({reason_of(error)}); {advice}"
        ) from error
    return tuple(
        name
        for name, gradient in zip(weights, found, strict=True)
        if gradient is None and name in scratch.weights
    )
