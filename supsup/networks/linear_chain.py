"""Whether a network is linear layers with ReLU between them, and nothing else.

Of such networks forward and backward passes are known in closed form, over many masks at once, in
training (:mod:`supsup.training.gradients`) as in inference (:mod:`supsup.inference.linear`). Any
other network runs its own ``forward``, which gives the same numbers more slowly.
"""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from supsup.networks.backbone import Backbone
from supsup.networks.mlp import Mlp


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearChain:
    """W_n ReLU(… ReLU(W_1 x + b_1) …) + b_n, all of the W under masks and none of the b.

    Attributes:
        weights: names of the parameters W_1 … W_n, each of shape (units, inputs).
        biases: names of b_1 … b_n; None for a layer without.
        inputs: numbers of one image.
        flattens: whether images may have any shape; otherwise they are rows.
    """

    weights: tuple[str, ...]
    biases: tuple[str | None, ...]
    inputs: int
    flattens: bool

    def takes(self, x: Float[Tensor, "batch ..."]) -> bool:
        """Whether the network takes a batch of this shape."""
        return x[0].numel() == self.inputs and (self.flattens or x.ndim == 2)


def chain_of(backbone: Backbone) -> LinearChain | None:
    """The chain that a backbone is; None if it is any other network, or only looks like one.

    Nor is one whose tasks have parameters of their own.

    A chain is an :class:`Mlp`, or an ``nn.Sequential`` of ``nn.Linear`` with ``nn.ReLU`` between
    them, behind an ``nn.Flatten`` or not. Subclasses, hooks, parametrizations, a forward of the
    instance's own, and layers that share a weight may compute something else.
    """
    module = backbone.module
    if backbone.own_parameters:  # its biases and heads are not the module's
        return None
    # Not named_children(), which gives a layer that is there twice only once.
    parts = list(module._modules.items())
    if not all(
        part is not None and _only_forward(part) for part in (module, *module._modules.values())
    ):
        return None
    if type(module) is nn.Sequential:
        flattens = bool(parts) and _is_flatten(parts[0][1])
        parts = parts[1:] if flattens else parts
        linear, between = parts[::2], parts[1::2]
        if len(linear) != len(between) + 1 or any(type(part) is not nn.ReLU for _, part in between):
            return None
    elif type(module) is Mlp:
        flattens, linear = True, parts
    else:
        return None
    layers = [(name, part) for name, part in linear if type(part) is nn.Linear]
    weights = tuple(f"{name}.weight" for name, _ in layers)
    widths = [tuple(part.weight.shape) for _, part in layers]
    # A shared weight has one name only in the layout.
    covered = len(layers) == len(linear) and weights == tuple(backbone.layout.shapes)
    if not layers or not covered or any(a[0] != b[1] for a, b in pairwise(widths)):
        return None
    return LinearChain(
        weights=weights,
        biases=tuple(None if part.bias is None else f"{name}.bias" for name, part in layers),
        inputs=widths[0][1],
        flattens=flattens,
    )


def _is_flatten(part: nn.Module | None) -> bool:
    return type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1)


def _only_forward(part: nn.Module) -> bool:
    """Whether calling a module is its class's forward, and nothing around it."""
    hooks = (
        part._forward_hooks,
        part._forward_pre_hooks,
        part._backward_hooks,
        part._backward_pre_hooks,
    )
    return "forward" not in vars(part) and not any(hooks)
