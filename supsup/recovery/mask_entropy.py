"""The entropy of unlabelled data as a function of the mask, for searches over masks, and how high
it may be for data to count as a task's own.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.inference.objectives import Objective, parse_objective
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.tasks.checked import train_images
from supsup.tasks.protocol import TaskData

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
        logits = self.backbone.run(x, self.backbone.masked(masks))
        value = self.objective(logits, self.classes).mean()
        (slope,) = torch.autograd.grad(value, flat)
        self.calls += 1
        return float(value.detach()), slope.cpu().numpy().astype(np.float64)


BATCHES = 8
DEVIATIONS = 4.0
"""Standard deviations over the batches by which new data of the task may be less certain."""

_LEAST_SPREAD = 0.1
"""Least deviation, as a share of the mean: one batch alone has none."""


def accepted_entropy(backbone: Backbone, task: TaskData, mask: np.ndarray) -> float:
    """The highest mean entropy at which data count as the task's own, nats.

    Of training images without their labels; one number for a mask, whatever else is stored.

    Args:
        mask: the task's, flat: d numbers, 0.0 or 1.0.
    """
    images = min(BATCHES * BATCH, task.train_size)
    x, _ = train_images(task, torch.arange(images, dtype=torch.int64, device=task.device))
    # How many outputs stand for a class matters to other objectives, not to the entropy.
    entropy = MaskEntropy(backbone, x, classes=1)
    values = [entropy(mask, step)[0] for step in range(max(images // BATCH, 1))]
    mean, spread = float(np.mean(values)), float(np.std(values))
    return mean + DEVIATIONS * max(spread, _LEAST_SPREAD * mean)
