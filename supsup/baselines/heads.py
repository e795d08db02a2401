"""A module parted in a trunk that tasks share and a head that each task has of its own."""

import copy

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from maskstore.errors import InvalidInput
from supsup.baselines.base import BaselineConfig, Weights
from supsup.baselines.training import fit
from supsup.networks.backbone import Backbone
from supsup.networks.weights import draw_weights
from supsup.tasks.protocol import TaskData


class Headed:
    """The layers of a backbone, its last ``nn.Linear`` being the head.

    Attributes:
        trunk: the backbone's weights but for the head, where training starts from.
        width: inputs of the head, the features of an image.
        device: where all of it is.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Part the module of a backbone, which is left alone.

        Raises:
            InvalidInput: it has no ``nn.Linear``.
        """
        self._name = type(backbone.module).__name__
        linear = [n for n, part in backbone.module.named_modules() if isinstance(part, nn.Linear)]
        if not linear:
            raise InvalidInput(
                f"network {self._name}: a head for each task takes the place "
                "of its last nn.Linear, but it has none; use another net"
            )
        self._head = linear[-1]
        self._checked = False
        self._module = copy.deepcopy(backbone.module)
        self._headless = copy.deepcopy(backbone.module)
        self._headless.set_submodule(self._head, nn.Identity())
        head = backbone.module.get_submodule(self._head)
        assert isinstance(head, nn.Linear)
        self.width = head.in_features
        self._bias = head.bias is not None
        self.device = backbone.device
        self.trunk: dict[str, Tensor] = dict(self._headless.named_parameters())

    def new_head(self, task: str, classes: int, seed: int) -> dict[str, Tensor]:
        """A head for a task: its weights normal with variance 2 / width, from the seed."""
        shapes: dict[str, tuple[int, ...]] = {f"{self._head}.weight": (classes, self.width)}
        if self._bias:
            shapes[f"{self._head}.bias"] = (classes,)
        drawn = {
            name: draw_weights(
                f"{task}/{name}", shape, seed=seed, init="kaiming-normal", fan_density=1.0
            )
            for name, shape in shapes.items()
        }
        return {name: torch.from_numpy(array).to(self.device) for name, array in drawn.items()}

    def features(
        self, images: Float[Tensor, "image ..."], trunk: Weights
    ) -> Float[Tensor, "image width"]:
        """What the head would be given; raises as :meth:`outputs`."""
        self._check_head(images)
        return functional_call(self._headless, dict(trunk), (images,))

    def outputs(
        self, images: Float[Tensor, "image ..."], trunk: Weights, head: Weights
    ) -> Float[Tensor, "image classes"]:
        """Logits under a trunk and a head; gradients reach both.

        Raises:
            InvalidInput: the network does not take the images, or its last ``nn.Linear`` is not
                what gives its output.
        """
        self._check_head(images)
        return functional_call(self._module, {**trunk, **head}, (images,))

    def loss(
        self,
        weights: Weights,
        images: Float[Tensor, "image ..."],
        labels: Int64[Tensor, " image"],
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy; ``weights`` are those of a trunk and a head together.

        Raises as :meth:`outputs`.
        """
        return cross_entropy(self.outputs(images, weights, {}), labels)

    def check_alone(self, method: str, image: Float[Tensor, "1 ..."]) -> None:
        """Raise InvalidInput where an image's features depend on the images beside it.

        Batch statistics of an image beside its like are 0 wide, beside another they are not.

        Args:
            method: which asks for each image by itself.
            image: any one.
        """
        with torch.no_grad():
            alike, other = (
                self.features(torch.cat([image, beside]), self.trunk)[0]
                for beside in (image, image + 1)
            )
        if not torch.allclose(alike, other, rtol=1e-3, equal_nan=True):
            raise InvalidInput(
                f"network {self._name}: {method} asks for the features of each image by itself, "
                "but here they depend on the images beside it, as batch statistics do; "
                "use a net without them"
            )

    def fit_head(
        self, task: TaskData, config: BaselineConfig, trunk: Weights, lr: float | None = None
    ) -> tuple[dict[str, Tensor], float]:
        """A head for a task over a trunk that stays as it is, and the last steps' mean loss."""

        def loss(head: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            return self.loss({**trunk, **head}, images, labels)

        head = self.new_head(task.name, task.classes, config.seed)
        return fit(task, config, head, loss, device=self.device, lr=lr)

    def fit_both(
        self, task: TaskData, config: BaselineConfig, trunk: Weights
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
        """(trunk, head, loss) of training both on a task, the trunk from where it is."""
        head = self.new_head(task.name, task.classes, config.seed)
        weights, loss = fit(task, config, {**trunk, **head}, self.loss, device=self.device)
        return *self.split(weights), loss

    def split(self, weights: Weights) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(trunk, head) of weights that were trained together."""
        trunk = {name: weights[name] for name in self.trunk}
        return trunk, {name: w for name, w in weights.items() if name not in trunk}

    @torch.no_grad()
    def _check_head(self, images: Tensor) -> None:
        """Once, on the first images: modules are in order of registration, not of use."""
        if self._checked:
            return
        calls: list[tuple[nn.Module, torch.Size]] = []
        handles = [
            part.register_forward_hook(lambda module, _, out: calls.append((module, out.shape)))
            for part in self._module.modules()
            if isinstance(part, nn.Linear)
        ]
        try:
            found = self._module(images)
        finally:
            for handle in handles:
                handle.remove()
        if calls[-1:] != [(self._module.get_submodule(self._head), found.shape)]:
            raise InvalidInput(
                f"network {self._name}: a head for each task takes the place of its last "
                f"nn.Linear, {self._head!r}, expected that to give the network's "
                f"{found.shape[-1]} outputs; register the layer that gives them after the others"
            )
        self._checked = True
