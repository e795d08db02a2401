"""Networks in which what is said of an image depends on the images beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from maskstore.errors import InvalidInput
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs, tensors_of

_APART = 1e-3
"""Share of the largest logit from which two answers to one image are not the same."""


@torch.no_grad()
def mixes_images(answer: Callable[[Inputs], Tensor], rows: Inputs) -> bool:
    """Whether what is said of the first image changes with others beside it.

    Args:
        answer: gives logits.
        rows: at least two images.
    """
    beside = map_inputs(lambda each: torch.cat([each[:1], _others(each[1:])]), rows)
    here, there = (answer(each)[0].double() for each in (rows, beside))
    # By the size of these logits: those of a deep random network may all be about 1e-6.
    size = float(torch.cat([here, there]).nan_to_num(0.0, 0.0, 0.0).abs().max())
    return not torch.allclose(here, there, rtol=0.0, atol=_APART * size, equal_nan=True)


def _others(x: Tensor) -> Tensor:
    """Made-up images, none like those given: their own may all be the same."""
    if x.is_floating_point():
        return 0.5 * (x.flip(-1) if x.ndim > 1 else x) + 0.25
    return torch.zeros_like(x) if x.any() else torch.ones_like(x)


def normalises_by_batch(module: nn.Module) -> bool:
    """Whether a part of a module takes statistics of the batch in evaluation, too."""
    return any(
        isinstance(part, _BatchNorm) and part.running_mean is None for part in module.modules()
    )


def one_image_alone(what: str, network: str) -> InvalidInput:
    """The refusal of one image given to a network that takes statistics of the batch."""
    return InvalidInput(
        f"{what}: one image, but {network} takes statistics of the batch and needs at least 2 "
        "images at a time; give images that belong together, or train masks with "
        "statistics=running"
    )


@dataclass(frozen=True, slots=True)
class NeedsNeighbours:
    """A hook before the forward of a module that is handed over: no answer to one image alone.

    Convolutions would give one, normalised by that image's own pixels: another network's. In
    training mode a module takes statistics of the batch in PyTorch, too, and whoever trains it sees
    to its batches.

    Attributes:
        what: whose module it is, as an error says it.
    """

    what: str

    def __call__(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Raise InvalidInput on a batch of one in evaluation mode."""
        kinds = [
            each for each in (*args, *named.values()) if isinstance(each, Tensor | dict | tuple)
        ]
        given = [tensor for each in kinds for tensor in tensors_of(each)]
        first = next((each for each in given if isinstance(each, Tensor)), None)
        if not module.training and first is not None and first.shape[:1] == (1,):
            raise one_image_alone(self.what, "its network")
