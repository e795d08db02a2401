"""Backbone: a frozen random network, run under masks."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from maskstore.archive import MaskArchive
from maskstore.errors import DigestMismatch, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded.streams import parse_seed
from supsup.networks.explain import Raised, explained, parse_logits
from supsup.networks.modes import plain_modes
from supsup.networks.parse_module import copy_module, parse_module
from supsup.networks.recipe import BackboneRecipe, check_init, parse_maskable
from supsup.networks.registry import NETS
from supsup.networks.swap import Slots, attributes_restored, slots_of, swapped
from supsup.networks.weights import digest_of, freeze
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import tensors_of

if TYPE_CHECKING:
    from supsup.networks.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """How numbers come from a seed (:func:`supsup.networks.weights.freeze`)."""

    seed: int
    init: str
    fan_density: float


class Backbone:
    """A module whose weights W never change, computing p = f(x, W ⊙ M) (paper, eq. 2).

    Attributes:
        recipe: regenerates it; None for a module that was handed in.
        module: the frozen module. It is never written to after construction.
        layout: the parameters that masks cover, in the module's order.
        drawn: how the numbers of a module that was handed in were drawn; None beside a recipe.
        notes: what was changed about a user's module, and what nobody checks, a line each.
        probed: what :func:`supsup.networks.probe.probe` found; None before.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: BackboneRecipe | None,
        maskable: tuple[str, ...] | None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Used by :func:`supsup.build` and :meth:`from_module`; ``module`` is frozen already."""
        self.module = module
        self.recipe = recipe
        self.notes = notes
        self.drawn: Drawn | None = None
        self.probed: Probe | None = None
        parameters = dict(module.named_parameters())
        if maskable is None:
            maskable = tuple(n for n, w in parameters.items() if w.ndim >= 2 and w.numel())
        for name in maskable:
            if name not in parameters:
                known = ", ".join(parameters)
                raise InvalidInput(f"maskable: no parameter {name!r}; the module has: {known}")
            if not parameters[name].numel():
                shape = tuple(parameters[name].shape)
                raise InvalidInput(
                    f"maskable: parameter {name!r} of shape {shape} is empty; leave it out"
                )
        if not maskable:
            raise InvalidInput("the module has no parameter that a mask could cover")
        self.layout = MaskLayout(
            {name: tuple(w.shape) for name, w in parameters.items() if name in maskable}
        )

    @classmethod
    @plain_modes()
    def from_module(
        cls,
        module: nn.Module,
        *,
        seed: int,
        init: str = "signed-constant",
        fan_density: float = 0.5,
        maskable: tuple[str, ...] | None = None,
    ) -> "Backbone":
        """A backbone with the architecture of any module; the module itself is left alone.

        Its numbers are those of a copy: buffers are as they are now, and part of the digest; what
        its constructor put into other attributes is taken as it is and is not (``notes`` names the
        tensors among it). Only :func:`supsup.build` can make the module again and see that it
        is the same.

        Args:
            module: float32; its weights do not matter, they are drawn from the seed.
            maskable: names of the parameters that masks cover; None for all of two axes or more.

        Raises:
            InvalidInput: a parameter is unknown or not float32, or there is none to cover.

        >>> backbone = Backbone.from_module(nn.Linear(4, 2, bias=False), seed=0)
        >>> backbone.layout.shapes, backbone.parameter_count
        ({'weight': (2, 4)}, 8)
        """
        fan_density = check_init(init, fan_density)
        names = None if maskable is None else parse_maskable(maskable)
        frozen, notes = parse_module(copy_module(module))
        seed = parse_seed(seed)
        freeze(frozen, seed=seed, init=init, fan_density=fan_density)
        made = cls(frozen.eval(), None, names, notes)
        made.drawn = Drawn(seed=seed, init=init, fan_density=fan_density)
        return made

    @property
    def weights(self) -> dict[str, Tensor]:
        """The frozen weights that masks cover, by name, in layout order."""
        return {name: self.module.get_parameter(name) for name in self.layout.shapes}

    def flat_weights(self) -> Float32[Tensor, " bits"]:
        """Those weights as one row (:meth:`MaskLayout.join`): a copy, where they are."""
        with torch.no_grad():
            out = torch.empty(self.layout.bits, dtype=torch.float32, device=self.device)
            return self.layout.join(self.weights, out)

    @property
    def ships(self) -> bool:
        """Whether the network is one of this package's, of which all is known."""
        return self.recipe is not None and self.recipe.net in NETS

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def parameter_count(self) -> int:
        """Numbers in a dense model of this architecture."""
        return sum(w.numel() for w in self.module.parameters())

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over every parameter and buffer: name, type, shape, values."""
        return digest_of([*self.module.named_parameters(), *self.module.named_buffers()])

    def check_digest(self, expected: str) -> None:
        """Raise DigestMismatch unless the weights are those that ``expected`` was taken of."""
        if self.digest != expected:
            raise DigestMismatch(
                f"backbone {self.name}: the masks were trained on weights of digest {expected}, "
                f"those regenerated here have {self.digest}; use the recipe and the release that "
                "the archive was made with"
            )

    def check_archive(self, archive: MaskArchive) -> None:
        """Raise DigestMismatch where an archive's masks are of other weights than these.

        An archive made by hand says nothing of weights, and passes; an imported one, which has no
        recipe, knows the weights under its masks only.
        """
        expected = archive.weights_digest
        own = self.digest if archive.backbone is not None else digest_of(self.weights.items())
        if expected is not None and expected not in (own, self.digest):
            raise DigestMismatch(
                f"{archive.path}: its masks are of weights of digest {expected}, "
                f"backbone {self.name} has {own}; take the archive's own network, "
                "supsup.archives.backbone_of(archive), or make another archive"
            )

    @plain_modes()
    def to(self, device: torch.device | str) -> "Backbone":
        """The same backbone on another device; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        moved = Backbone(
            copy.deepcopy(self.module).to(device),
            self.recipe,
            tuple(self.layout.shapes),
            self.notes,
        )
        moved.drawn = self.drawn
        moved.digest = self.digest  # of the same values, wherever they are
        return moved

    @plain_modes()
    def replica(self, *, buffers: bool = False) -> "Backbone":
        """The same weights, not copied, in another module.

        A module runs in one thread at a time: its weights are swapped while it runs.

        Args:
            buffers: whether buffers are copied.
        """
        tensors = [*self.module.parameters(), *(() if buffers else self.module.buffers())]
        module = copy.deepcopy(self.module, {id(tensor): tensor for tensor in tensors})
        made = Backbone(module, self.recipe, tuple(self.layout.shapes), self.notes)
        made.drawn, made.probed = self.drawn, self.probed
        return made

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
            training: whether a user's module is in training mode, so that dropout drops.
        """
        undone = nullcontext() if self.ships else attributes_restored(self.module)
        with undone, swapped(self._slots, weights):
            if training and not self.ships:
                self.module.train()
            yield

    def forward(self, x: Inputs) -> Float[Tensor, "batch outputs"]:
        """Logits under the weights that the module holds; raises as :meth:`run`."""
        try:
            if isinstance(x, dict):
                output = self.module(**x)
            else:
                output = self.module(*x) if isinstance(x, tuple) else self.module(x)
        except Raised as error:
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
    def name(self) -> str:
        """What errors call it."""
        if self.recipe is None:
            return type(self.module).__name__
        return f"{self.recipe.net} (seed {self.recipe.seed}, {self.recipe.outputs} outputs)"
