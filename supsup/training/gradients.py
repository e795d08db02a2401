"""Gradients of several tasks in one step: of chains of linear layers by batched matrix products and
nothing else, of any other module by autograd, through ``torch.func.vmap``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import itemgetter

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.seeded import streams as seeded
from maskstore.seeded.scores import ScoreStart
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import LinearChain, chain_of
from supsup.networks.modes import seeded_generators
from supsup.networks.probe import trainable
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs
from supsup.training.buffers import Buffers
from supsup.training.sparse_batch import SparseBatch

Layers = Mapping[str, Tensor]
"""Tensors by the names of a layout."""


class Gradients(ABC):
    """Runs the network of every row of some buffers on the row's own images.

    Attributes:
        sparse: whether it takes sparse batches, too.
    """

    sparse = False

    @abstractmethod
    def losses(
        self,
        x: Inputs | SparseBatch,
        y: Int64[Tensor, "task batch"],
        *,
        step: int = 0,
    ) -> Float[Tensor, " task"]:
        """The mean cross-entropy of each task; its gradient goes to the buffers.

        It is over all outputs, not only the task's classes: that pushes superfluous ones down.

        Args:
            step: of the training, which decides what a module draws that draws in its forward.
        """


class ChainGradients(Gradients):
    """Of a chain of linear layers, forward and backward written out.

    Beside autograd it saves the gradient of the mask (the one of W ⊙ M is written where the update
    reads it) and all bookkeeping. The gradient of the images is never computed.
    """

    def __init__(self, buffers: Buffers, backbone: Backbone, chain: LinearChain) -> None:
        """Take the buffers, and the network that is a chain."""
        names = chain.weights
        weights, gradients = buffers.layers(buffers.weights), buffers.layers(buffers.gradient)
        self._weights = [weights[name] for name in names]
        self._gradients = [gradients[name] for name in names]
        self._type = buffers.weights.dtype
        # Which read the first layer column by column.
        self.sparse = names[0] in buffers.turned
        if self.sparse:
            self._columns = buffers.columns(buffers.weights, names[0])
            self._column_gradients = buffers.columns(buffers.gradient, names[0])
        self._room: list[SparseBatch] = []
        self._biases = [
            None if name is None else backbone.module.get_parameter(name).to(self._type)
            for name in chain.biases
        ]

    def losses(
        self,
        x: Inputs | SparseBatch,
        y: Int64[Tensor, "task batch"],
        *,
        step: int = 0,
    ) -> Float[Tensor, " task"]:
        images: Tensor | None = None
        sparse: Sequence[SparseBatch | None]
        if isinstance(x, SparseBatch):
            sparse = [x]
        else:
            assert isinstance(x, Tensor)
            images = x.flatten(2).to(self._type)
            sparse = self._indexed(images)
        out = self._first(images, sparse)
        inputs = []
        for weight, bias in zip(self._weights[1:], self._biases[1:], strict=True):
            inputs.append(out.relu_())
            out = _affine(inputs[-1], weight, bias)
        logits, correct = out.float(), y.unsqueeze(2)
        # ∂loss/∂logits = (softmax - one-hot) / batch.
        pull = logits.softmax(2)
        # log Σ exp by the largest logit, whose probability is not small: one pass of exp, not two.
        total = logits.amax(2, keepdim=True) - pull.amax(2, keepdim=True).log_()
        losses = (total - logits.gather(2, correct)).mean((1, 2))
        pull.scatter_add_(2, correct, pull.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
        pull = pull.div_(y.shape[1]).to(self._type)
        for at in reversed(range(len(inputs))):
            torch.bmm(pull.mT, inputs[at], out=self._gradients[at + 1])
            pull = torch.bmm(pull, self._weights[at + 1])
            pull = torch.ops.aten.threshold_backward(pull, inputs[at], 0)
        self._first_gradient(images, pull, sparse)
        return losses

    def _indexed(self, x: Float[Tensor, "task batch input"]) -> Sequence[SparseBatch | None]:
        """The images of each task as a sparse batch, where they are one."""
        if not self.sparse:
            return [None] * len(x)
        if not self._room or self._room[0].shape != x.shape[1:]:
            self._room = [SparseBatch(*x.shape[1:]) for _ in x]
        return [
            room if room.take(images) else None for room, images in zip(self._room, x, strict=True)
        ]

    def _first(
        self, x: Float[Tensor, "task batch input"] | None, sparse: Sequence[SparseBatch | None]
    ) -> Float[Tensor, "task batch unit"]:
        """What the first layer gives."""
        weight, bias = self._weights[0], self._biases[0]
        if x is not None and not any(sparse):
            return _affine(x, weight, bias)
        parts = []
        for at, indexed in enumerate(sparse):
            if indexed is None:
                assert x is not None
                parts.append(_affine(x[at : at + 1], weight[at : at + 1], bias))
            else:
                out = indexed.times(self._columns[at], bias)
                parts.append(out[None, :, : weight.shape[1]])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _first_gradient(
        self,
        x: Float[Tensor, "task batch input"] | None,
        pull: Float[Tensor, "task batch unit"],
        sparse: Sequence[SparseBatch | None],
    ) -> None:
        gradient = self._gradients[0]
        if x is not None and not any(sparse):
            if self.sparse:
                torch.bmm(x.mT, pull, out=gradient.mT)
            else:
                torch.bmm(pull.mT, x, out=gradient)
            return
        for at, indexed in enumerate(sparse):
            if indexed is None:
                assert x is not None
                torch.mm(x[at].T, pull[at], out=gradient[at].T)
            else:
                indexed.gradient(pull[at], self._column_gradients[at])


def _affine(
    x: Float[Tensor, "task batch input"],
    weight: Float[Tensor, "task unit input"],
    bias: Float[Tensor, " unit"] | None,
) -> Float[Tensor, "task batch unit"]:
    return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias, x, weight.mT)


class AnyModule(Gradients):
    """The backbone's own forward pass; ``vmap`` turns its layers into grouped ones.

    One task alone runs without ``vmap``: the same kernels as the module by itself. So do tasks of
    a module that cannot be run for several at once, one after another.
    """

    def __init__(
        self, buffers: Buffers, backbone: Backbone, starts: Sequence[ScoreStart] = ()
    ) -> None:
        """Take the buffers and the network.

        Args:
            starts: of the rows, which give a module that draws in its forward its numbers.
        """
        self._buffers, self._backbone, self._starts = buffers, backbone, starts

    def losses(
        self,
        x: Inputs | SparseBatch,
        y: Int64[Tensor, "task batch"],
        *,
        step: int = 0,
    ) -> Float[Tensor, " task"]:
        assert not isinstance(x, SparseBatch)
        inputs = [map_inputs(itemgetter(row), x) for row in range(len(y))]
        found = trainable(self._backbone, inputs[0])
        layers = self._buffers.layers(self._buffers.weights)
        if found.apart is None and len(y) > 1:
            return self._shared(x, y, layers)
        losses = []
        for row, images in enumerate(inputs):
            with self._numbers(row, step) if found.draws else nullcontext():
                losses.append(self._alone(row, images, y[row], _row(layers, row)))
        return torch.cat(losses)

    def _alone(
        self, row: int, x: Inputs, y: Int64[Tensor, " batch"], layers: Layers
    ) -> Float[Tensor, " 1"]:
        leaves = _leaves({**layers, **_row(self._buffers.own, row)})
        state = _row(self._buffers.tensors, row)
        # Held for the backward pass, too, in which checkpointed layers run again.
        with self._backbone.holding({**leaves, **state}, training=True):
            with self._autocast(y.device):
                logits = self._backbone.forward(x)
            losses = F.cross_entropy(logits.float(), y, reduction="none").view(1, -1).mean(1)
            self._keep(leaves, losses, slice(row, row + 1))
        return losses.detach()

    def _shared(
        self, x: Inputs, y: Int64[Tensor, "task batch"], layers: Layers
    ) -> Float[Tensor, " task"]:
        leaves = _leaves({**layers, **self._buffers.own})
        with self._autocast(y.device):
            run = partial(self._backbone.run, training=True)
            logits = torch.func.vmap(run)(x, {**leaves, **self._buffers.tensors})
        losses = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten(), reduction="none")
        losses = losses.view(y.shape).mean(1)
        self._keep(leaves, losses, slice(None))
        return losses.detach()

    def _keep(self, leaves: Layers, losses: Float[Tensor, " task"], rows: slice) -> None:
        """Put the gradients where the update reads them; 0 for what does not reach the loss."""
        found = torch.autograd.grad(
            losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        layers = self._buffers.layers(self._buffers.gradient)
        into = {**layers, **self._buffers.own_gradient}
        for name, gradient in zip(leaves, found, strict=True):
            row = into[name][rows]
            row.copy_(gradient.view(row.shape))

    def _autocast(self, device: torch.device) -> torch.autocast:
        low = self._buffers.weights.dtype
        return torch.autocast(device.type, dtype=low, enabled=low != torch.float32)

    def _numbers(self, row: int, step: int) -> AbstractContextManager[None]:
        """The generators of a module that draws, set from the seed, the start and the step."""
        start = self._starts[row]
        key = int(seeded.integers(start.seed, f"forward/{start.stream}", (1,), 2**63)[0])
        return seeded_generators(self._backbone.device, (key + step) % 2**63)


def _row(tensors: Layers, row: int) -> dict[str, Tensor]:
    return {name: each[row] for name, each in tensors.items()}


def _leaves(layers: Layers) -> dict[str, Tensor]:
    return {name: layer.float().detach().requires_grad_() for name, layer in layers.items()}


def gradients_of(
    buffers: Buffers, backbone: Backbone, starts: Sequence[ScoreStart] = ()
) -> Gradients:
    """The quickest way to the gradients of this network; ``starts`` as of :class:`AnyModule`."""
    chain = chain_of(backbone)
    if chain is None:
        return AnyModule(buffers, backbone, starts)
    return ChainGradients(buffers, backbone, chain)
