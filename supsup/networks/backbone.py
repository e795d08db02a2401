"""Backbone: a frozen random network, run under masks."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from maskstore.archive import MaskArchive
from maskstore.errors import DigestMismatch
from supsup.networks.explain import Raised, explained, parse_logits
from supsup.networks.modes import plain_modes
from supsup.networks.parse_module import copy_module, layout_over, parse_module
from supsup.networks.recipe import BackboneRecipe, parse_maskable
from supsup.networks.registry import NETS
from supsup.networks.shown import ShownNetwork
from supsup.networks.swap import Slots, attributes_restored, slots_of, swapped
from supsup.networks.trained import place_values, values_in, values_of
from supsup.networks.weights import Drawn, digest_of
from supsup.networks.weights_file import ALL, apart
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import tensors_of

if TYPE_CHECKING:
    from supsup.networks.probe import Probe


class Backbone(ShownNetwork):
    """A module whose weights W never change, computing p = f(x, W ⊙ M) (paper, eq. 2).

    Attributes:
        recipe: regenerates it; None for a module that was handed in.
        module: the frozen module. It is never written to after construction.
        layout: the parameters that masks cover, in the module's order.
        drawn: how the numbers of a module that was handed in were drawn; None beside a recipe.
        notes: what was changed about a user's module, and what nobody checks, a line each.
        trained: the parameters and buffers whose values are not from the seed, but from a weights
            file or a module (:meth:`pretrained`).
        probed: what :func:`supsup.networks.probe.probe` found; None before.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: BackboneRecipe | None,
        maskable: tuple[str, ...] | None,
        notes: tuple[str, ...] = (),
        trained: frozenset[str] = frozenset(),
    ) -> None:
        """Used by :func:`supsup.build` and :meth:`from_module`; ``module`` is frozen already."""
        self.module = module
        self.recipe = recipe
        self.notes = notes
        self.drawn: Drawn | None = None
        self.trained = trained
        self.probed: Probe | None = None
        self.layout = layout_over(module, maskable)

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

        Its parameters are drawn from the seed; those that the module has, trained ones too, are not
        used (:meth:`pretrained` takes them). Buffers are as they are now, and part of the digest;
        what its constructor put into other attributes is taken as it is and is not (``notes`` names
        the tensors among it). Only :func:`supsup.build` can make it again and see that it is the
        same.

        Args:
            module: float32.
            maskable: names of the parameters that masks cover; None for all of two axes or more.

        Raises:
            InvalidInput: a parameter is unknown or not float32, or there is none to cover.

        >>> backbone = Backbone.from_module(nn.Linear(4, 2, bias=False), seed=0)
        >>> backbone.layout.shapes, backbone.parameter_count
        ({'weight': (2, 4)}, 8)
        """
        drawn = Drawn(seed=seed, init=init, fan_density=fan_density)
        names = None if maskable is None else parse_maskable(maskable)
        frozen, notes = parse_module(copy_module(module))
        drawn.freeze(frozen)
        note = f"weights: drawn from seed {seed}; Backbone.pretrained(module) takes the module's"
        made = cls(frozen.eval(), None, names, (*notes, note))
        made.drawn = drawn
        return made

    @classmethod
    @plain_modes()
    def pretrained(
        cls,
        module: nn.Module,
        *,
        weights: str | PathLike[str] | None = None,
        parameters: Sequence[str] = ALL,
        seed: int = 0,
        init: str = "signed-constant",
        fan_density: float = 0.5,
        maskable: tuple[str, ...] | None = None,
    ) -> "Backbone":
        """A backbone over trained weights, those of any module or of a file; the module is copied.

        Args:
            weights: a ``.safetensors`` file, or what ``torch.save`` wrote; None: the module's own.
            parameters: patterns of the trained ones; the others are drawn from the seed.

        Raises:
            InvalidInput: as :meth:`from_module`; or the file is missing, or not of this network.
        """
        drawn = Drawn(seed=seed, init=init, fan_density=fan_density)
        names = None if maskable is None else parse_maskable(maskable)
        frozen, notes = parse_module(copy_module(module))
        what, values = values_of(frozen) if weights is None else values_in(Path(weights))
        drawn.freeze(frozen)
        trained = place_values(frozen, values, what=what, patterns=parameters)
        return cls(frozen.eval(), None, names, notes, trained)

    def trained_values(self) -> dict[str, Shaped[Tensor, "..."]]:
        """The values that no seed gives back, by name, in the module's order."""
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: tensor.detach() for name, tensor in named if name in self.trained}

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
            files = apart(archive.backbone, self.recipe.weights_file) if self.recipe else ""
            raise DigestMismatch(
                f"{archive.path}: its masks are of weights of digest {expected}, "
                f"backbone {self.name} has {own}{files}; take the archive's own network, "
                "supsup.archives.backbone_of(archive), or make another archive"
            )

    @plain_modes()
    def to(self, device: torch.device | str) -> "Backbone":
        """The same backbone on another device; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        names, module = tuple(self.layout.shapes), copy.deepcopy(self.module).to(device)
        moved = Backbone(module, self.recipe, names, self.notes, self.trained)
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
        names = tuple(self.layout.shapes)
        made = Backbone(module, self.recipe, names, self.notes, self.trained)
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
