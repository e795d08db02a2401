"""MaskedModule: a frozen module, run with other numbers in the place of its own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from maskstore.registry import check_one_of
from maskstore.tensors import TensorValue
from supsup.networks.explain import explained, parse_logits
from supsup.networks.parse_module import layout_over
from supsup.networks.per_task import STEPS, own_parameters, read_own
from supsup.networks.recipe import STATISTICS
from supsup.networks.statistics import (
    differentiable_statistics,
    kept_names,
    parse_kept,
    set_training,
    task_buffers,
    tracking,
)
from supsup.networks.strided_points import pixels_left_out_first
from supsup.networks.swap import Slots, attributes_restored, slots_of, swapped
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import tensors_of


class MaskedModule(ABC):
    """A module computing p = f(x, W ⊙ M) (paper, eq. 2); where W is from, a subclass knows.

    Attributes:
        module: the frozen module. It is never written to after construction.
        layout: the parameters that masks cover, in the module's order.
        statistics: of normalisation, as :class:`supsup.BackboneRecipe` has it.
        task_tensors: buffers that every task has of its own, by name: what a task's begin as.
        per_task: patterns of the parameters that every task has of its own.
        own_parameters: those, by name: what a task's begin as. No mask covers them.
        answered: state of the archive as which it was last seen to answer
            (:mod:`supsup.networks.answer`); None before.
    """

    def __init__(
        self,
        module: nn.Module,
        maskable: tuple[str, ...] | None,
        statistics: str,
        per_task: tuple[str, ...] = (),
    ) -> None:
        check_one_of("statistics", statistics, STATISTICS)
        self.module = module
        self.statistics = statistics
        self.task_tensors = task_buffers(module, statistics)
        self.per_task = per_task
        self.own_parameters = own_parameters(module, per_task)
        self.layout = layout_over(module, maskable, self.own_parameters)
        self.answered: object | None = None

    @property
    @abstractmethod
    def ships(self) -> bool:
        """Whether the network is one of this package's, of which all is known."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What errors call it."""

    @property
    def weights(self) -> dict[str, Tensor]:
        """The frozen weights that masks cover, by name, in layout order."""
        return {name: self.module.get_parameter(name) for name in self.layout.shapes}

    def flat_weights(self) -> Float32[Tensor, " bits"]:
        """Those weights as one row, layer after layer: a copy, where they are."""
        with torch.no_grad():
            out = torch.empty(self.layout.bits, dtype=torch.float32, device=self.device)
            return self.layout.join(self.weights, out)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def parameter_count(self) -> int:
        """Numbers in a dense model of this architecture."""
        return sum(w.numel() for w in self.module.parameters())

    def masked(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """W ⊙ M for every layer of the layout. Masks may be boolean or real (a superposition)."""
        return {name: weight * masks[name] for name, weight in self.weights.items()}

    def run(
        self,
        x: Inputs,
        weights: Mapping[str, Tensor],
        *,
        training: bool = False,
    ) -> Float[Tensor, "batch outputs"]:
        """Logits with ``weights`` in the place of the module's own of those names.

        Args:
            x: a tensor of images; a tuple becomes the module's arguments, a dict those by name.
            training: as in :meth:`holding`.

        Raises:
            InvalidInput: the network does not take such data, or gives no logits.
        """
        with self.holding(weights, training=training):
            return self.forward(x)

    @contextmanager
    def holding(self, weights: Mapping[str, Tensor], *, training: bool = False) -> Iterator[None]:
        """The module holds ``weights`` for :meth:`forward`, and for the backward pass after it.

        What its forward assigns to attributes is undone at the end.

        Args:
            weights: parameters, and tensors of a task, of which training writes to buffers. The
                task's that are left out are as they begin.
            training: whether the module is in training mode, so that dropout drops.
        """
        begun = {n: each.clone() for n, each in self.task_tensors.items()} if training else {}
        plain = self.ships and not any(tracking(self.module))
        undone = nullcontext() if plain else attributes_restored(self.module)
        points = pixels_left_out_first(self.module.parameters())
        with undone, points, swapped(self._slots, {**begun, **weights}):
            if training and not plain:
                set_training(self.module, self.statistics)
            elif any(weights[name].requires_grad for name in self.task_tensors if name in weights):
                differentiable_statistics(self.module)
            yield

    def forward(self, x: Inputs) -> Float[Tensor, "batch outputs"]:
        """Logits under the weights that the module holds; raises as :meth:`run`."""
        try:
            if isinstance(x, dict):
                output = self.module(**x)
            else:
                output = self.module(*x) if isinstance(x, tuple) else self.module(x)
        except Exception as error:
            if (shown := explained(error, self.module, x)) is error:
                raise
            raise shown from error
        return parse_logits(output, tensors_of(x)[0].shape[0])

    @cached_property
    def _slots(self) -> Slots:
        return slots_of(self.module)

    def logits(
        self, x: Shaped[Tensor, "batch ..."], masks: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch outputs"]:
        """f(x, W ⊙ M), differentiable in ``masks``."""
        return self.run(x, self.masked(masks))

    def tensors(self, masks: Mapping[str, Bool[np.ndarray, "..."]]) -> dict[str, Tensor]:
        """Stored masks as boolean tensors on this device.

        Raises:
            InvalidMask: a layer is missing, unknown, of another shape, or not boolean.
        """
        self.layout.pack(masks)
        return {
            name: torch.from_numpy(np.ascontiguousarray(masks[name])).to(self.device)
            for name in self.layout.shapes
        }

    @property
    def kept_tensors(self) -> dict[str, Tensor]:
        """Those of ``task_tensors`` and ``own_parameters`` that an archive keeps with a mask."""
        buffers = {name: self.task_tensors[name] for name in kept_names(self.task_tensors)}
        return buffers | self.own_parameters

    def of_task(
        self,
        masks: Mapping[str, Bool[np.ndarray, "..."]],
        tensors: Mapping[str, TensorValue],
    ) -> dict[str, Tensor]:
        """What :meth:`run` takes for a task: W ⊙ M of its mask, and its tensors.

        Raises:
            InvalidMask: as :meth:`tensors`.
            InvalidInput: the task's tensors are not those that the network has.
        """
        return self.masked(self.tensors(masks)) | self.on_device(tensors)

    def on_device(self, tensors: Mapping[str, TensorValue]) -> dict[str, Tensor]:
        """A task's stored tensors; raises InvalidInput as :meth:`of_task`."""
        return {name: each.to(self.device) for name, each in self.read_tensors(tensors).items()}

    def read_tensors(self, tensors: Mapping[str, TensorValue]) -> dict[str, Tensor]:
        """The same on the CPU, where it is read from what an archive keeps."""
        what = f"network {self.name}"
        buffers = {name: self.task_tensors[name] for name in kept_names(self.task_tensors)}
        passed = {*self.own_parameters, *((STEPS,) if self.own_parameters else ())}
        others = {name: each for name, each in tensors.items() if name not in passed}
        return parse_kept(buffers, others, what) | read_own(self.own_parameters, tensors, what)
