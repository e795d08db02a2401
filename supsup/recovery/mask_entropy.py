"""The objective of unlabelled data as a function of the mask, for searches over masks."""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.inference.bank import run_network
from supsup.inference.objectives import Objective, parse_objective
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes

BATCH = 64
"""Images a step, the paper's."""


class MaskEntropy:
    """Mean objective of a batch under a real mask in [0, 1]^d, and its gradient.

    Step t takes batch t, over and over; there are as many as the images fill, at least one, and a
    rest that fills none is left out, so that batch statistics never come from a few images.

    Attributes:
        calls: forward passes made.
    """

    def __init__(
        self,
        backbone: Backbone,
        x: Float[Tensor, "image ..."],
        *,
        classes: int,
        objective: str | Objective = "entropy",
        batch: int = BATCH,
    ) -> None:
        """Cut the images into batches, in their order.

        Args:
            classes: outputs that stand for a class.

        Raises:
            InvalidInput: no images, or an unknown objective.
        """
        if not len(x):
            raise InvalidInput("recovery: no images to recover the mask from")
        self.backbone = backbone
        self.objective = parse_objective(objective)
        self.classes = classes
        self.calls = 0
        whole = max(len(x) // batch, 1)
        self._batches = x[: whole * batch].to(backbone.device).split(batch)

    @plain_modes()
    def __call__(
        self, mask: Float[np.ndarray, " unit"], step: int
    ) -> tuple[float, Float64[np.ndarray, " unit"]]:
        """(objective, gradient) on batch ``step``.

        Raises:
            InvalidInput: the network does not take such data.
        """
        flat = torch.from_numpy(mask.astype(np.float32)).to(self.backbone.device).requires_grad_()
        masks = self.backbone.layout.split(flat)
        x = self._batches[step % len(self._batches)]
        x = x.clone() if x.is_inference() else x
        logits = run_network(self.backbone, x, self.backbone.masked(masks))
        value = self.objective(logits, self.classes).mean()
        (slope,) = torch.autograd.grad(value, flat)
        self.calls += 1
        return float(value.detach()), slope.cpu().numpy().astype(np.float64)
