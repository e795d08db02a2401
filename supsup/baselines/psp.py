"""PSP with binary contexts: a random sign for each input of a layer."""

import torch
from torch import Tensor

from maskstore.seeded import streams as seeded
from supsup.baselines.base import Weights, sum_of
from supsup.baselines.superposed import Run, Superposed


class Psp(Superposed):
    """C_t is a diagonal of random signs (Cheung et al., 2019, "binary superposition").

    A convolution has a sign for each number under its kernel, as they have it.
    """

    name = "psp"
    methods = ("exhaustive", "logits", "one-shot")

    def superposed(self, shares: Tensor, images: Tensor) -> Tensor:
        contexts = [self._contexts(task) for task in self.tasks]
        mean = {name: sum_of(shares, [each[name] for each in contexts]) for name in contexts[0]}
        return self._run(self.weights, mean, images)

    def _network(self, task: str) -> Run:
        contexts = self._contexts(task)
        return lambda weights, images: self._run(weights, contexts, images)

    def _run(self, weights: Weights, contexts: Weights, images: Tensor) -> Tensor:
        # (W C) x for W (C x): a weight is touched once a step, an input once an image.
        signed = {name: weights[name] * signs for name, signs in contexts.items()}
        return self.backbone.run(images, {**weights, **signed})

    def _contexts(self, task: str) -> dict[str, Tensor]:
        """A sign for each input of each layer."""
        return {
            name: torch.from_numpy(
                seeded.signs(self.config.seed, f"psp/{task}/{name}", tuple(weight.shape[1:]))
            ).to(self.backbone.device)
            for name, weight in self.weights.items()
            if weight.ndim >= 2
        }
