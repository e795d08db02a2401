"""The paper's BN-net: random layers under batch normalisation, masks on the neurons only."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup.networks.mlp import check_widths, flat


class BatchNormNet(nn.Module):
    """784-2048-2048-outputs with batch normalisation and swish.

    Masks cover the scales ``bn1.weight`` and ``bn2.weight``, one bit per neuron: 4,096 bits a
    task. A neuron whose scale is 0 is off, because swish(0) = 0. There are no biases.

    Statistics are those of the batch, in training and in evaluation, unless the recipe says
    otherwise: an answer then depends on the images beside it, so batches should be mixed and not
    small (128 here).
    """

    def __init__(self, *, outputs: int, width: int, inputs: int = 784) -> None:
        """Make the layers; weights are drawn later."""
        super().__init__()
        check_widths((inputs, width, width, outputs))
        self.inputs = inputs
        self.fc1 = nn.Linear(inputs, width, bias=False)
        self.bn1 = BatchScale(width)
        self.fc2 = nn.Linear(width, width, bias=False)
        self.bn2 = BatchScale(width)
        self.fc3 = nn.Linear(width, outputs, bias=False)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:
        """Logits of a batch of images; all axes but the first are flattened.

        Raises:
            InvalidInput: one image alone, where it has no statistics, or images of another number
                of pixels.
        """
        check_batch(x.shape[0], self.bn1)
        x = F.silu(self.bn1(self.fc1(flat(x, self.inputs))))
        x = F.silu(self.bn2(self.fc2(x)))
        return self.fc3(x)


class BatchScale(nn.BatchNorm1d):
    """Batch normalisation with a scale and no shift; the rest is PyTorch's own."""

    def __init__(self, width: int) -> None:
        """Make a layer for ``width`` neurons."""
        super().__init__(width, affine=False)
        self.weight = nn.Parameter(torch.ones(width, dtype=torch.float32, device="cpu"))


def check_batch(images: int, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Raise InvalidInput where one image alone is to be normalised by its own statistics."""
    if images < 2 and (norm.training or not norm.track_running_stats):
        raise InvalidInput(
            "a net with batch statistics needs at least 2 images at a time, got 1; "
            "put more images into the batch"
        )
