"""Fully connected networks without biases: LeNet-300-100 and FC-1024-1024 of the paper."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from maskstore.layout import MAX_BITS


class Mlp(nn.Module):
    """Linear layers ``fc1``, ``fc2``, … with ReLU between them."""

    def __init__(self, *, outputs: int, hidden: Sequence[int], inputs: int = 784) -> None:
        """Make the layers; weights are drawn later.

        Args:
            outputs: width of the last layer.
            hidden: widths of the layers before it.
            inputs: pixels of one image.
        """
        super().__init__()
        widths = check_widths((inputs, *hidden, outputs))
        self.inputs = inputs
        for at, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            self.add_module(f"fc{at}", nn.Linear(fan_in, fan_out, bias=False))

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:
        """Logits of a batch of images; all axes but the first are flattened.

        Raises:
            InvalidInput: an image has another number of pixels.
        """
        x = flat(x, self.inputs)
        *hidden, last = self.children()
        for layer in hidden:
            x = torch.relu(layer(x))
        return last(x)


def flat(x: Float[Tensor, "batch ..."], inputs: int) -> Float[Tensor, "batch inputs"]:
    """One row for each image; raises InvalidInput unless an image has ``inputs`` numbers."""
    rows = x.flatten(1)
    if rows.shape[1] != inputs:
        raise InvalidInput(
            f"data of shape {tuple(x.shape)}: the network does not take it, its images have "
            f"{inputs} numbers; use other data, another net, or the net's option 'inputs'"
        )
    return rows


def check_widths(widths: Sequence[int]) -> Sequence[int]:
    """The widths of consecutive layers, as given.

    Raises:
        InvalidInput: one is no whole number from 1, or there are more weights than a mask has
            bits. Said before anything is allocated: a recipe may come from anybody's file.
    """
    for width in widths:
        if type(width) is not int or width < 1:
            raise InvalidInput(f"layer width: expected a whole number from 1, got {width!r}")
    weights = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))
    if weights > MAX_BITS:
        raise InvalidInput(
            f"layer widths {list(widths)}: {weights} weights, at most {MAX_BITS} are supported"
        )
    return widths
