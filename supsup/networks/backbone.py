"""Backbone: a frozen random network, run under masks."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from maskstore.access import require_archive
from maskstore.archive import MaskArchive
from maskstore.errors import DigestMismatch, LayoutMismatch
from supsup.networks.answer import check_answer
from supsup.networks.masked_module import MaskedModule
from supsup.networks.modes import plain_modes
from supsup.networks.parse_module import copy_module, parse_module
from supsup.networks.per_task import parse_patterns, start_at_rest
from supsup.networks.recipe import BackboneRecipe, parse_maskable
from supsup.networks.registry import NETS
from supsup.networks.shown import ShownNetwork
from supsup.networks.statistics import reset_statistics
from supsup.networks.trained import (
    default_statistics,
    place_values,
    require_statistics,
    under_own_names,
    values_in,
    values_of,
)
from supsup.networks.weights import Drawn, digest_of
from supsup.networks.weights_file import ALL, WeightsFile, apart, matches

if TYPE_CHECKING:
    from supsup.networks.probe import Probe


class Backbone(ShownNetwork, MaskedModule):
    """A module whose weights W never change, computing p = f(x, W ⊙ M) (paper, eq. 2).

    Attributes:
        recipe: regenerates it; None for a module that was handed in.
        module, layout, statistics, task_tensors, per_task, own_parameters: as
            :class:`MaskedModule` has them.
        drawn: where the numbers of a module that was handed in come from; None beside a recipe.
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
        statistics: str = "batch",
        per_task: tuple[str, ...] = (),
    ) -> None:
        """Used by :func:`supsup.build` and :meth:`from_module`; ``module`` is frozen already."""
        super().__init__(module, maskable, statistics, per_task)
        self.recipe = recipe
        self.notes = notes
        self.drawn: Drawn | None = None
        self.trained = trained
        self.probed: Probe | None = None

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
        statistics: str | None = None,
        per_task: str | Sequence[str] = (),
    ) -> "Backbone":
        """A backbone with the architecture of any module; the module itself is left alone.

        Its parameters are drawn from the seed; those that the module has, trained ones too, are not
        used (:meth:`pretrained` takes them). Buffers are as they are now, and part of the digest;
        what its constructor put into other attributes is taken as it is and is not (``notes`` names
        the tensors among it). Only :func:`supsup.build` can make it again and see that it is the
        same.

        Args:
            module: float32.
            maskable: names or patterns of the parameters that masks cover; None for all of two axes
                or more.
            statistics: of normalisation, as :class:`BackboneRecipe` has it; running ones begin at
                mean 0 and variance 1. None: running ones where the module keeps any.
            per_task: as :class:`BackboneRecipe` has it.

        Raises:
            InvalidInput: a parameter is unknown or not float32, or there is none to cover.

        >>> backbone = Backbone.from_module(nn.Linear(4, 2, bias=False), seed=0)
        >>> backbone.layout.shapes, backbone.parameter_count
        ({'weight': (2, 4)}, 8)
        """
        drawn = Drawn(seed=seed, init=init, fan_density=fan_density)
        names = None if maskable is None else parse_maskable(maskable)
        frozen, notes = parse_module(copy_module(module), statistics)
        drawn.freeze(frozen)
        own = parse_patterns(per_task)
        start_at_rest(frozen, own)
        statistics = statistics or default_statistics(frozen, ())
        if statistics == "running":
            reset_statistics(frozen)
        note = f"weights: drawn from seed {seed}; Backbone.pretrained(module) takes the module's"
        made = cls(frozen.eval(), None, names, (*notes, note), frozenset(), statistics, own)
        made.drawn = drawn
        return made

    @classmethod
    @plain_modes()
    def pretrained(
        cls,
        module: nn.Module,
        *,
        weights: str | PathLike[str] | Mapping[str, Shaped[Tensor, "..."]] | None = None,
        parameters: Sequence[str] = ALL,
        seed: int = 0,
        init: str = "signed-constant",
        fan_density: float = 0.5,
        maskable: tuple[str, ...] | None = None,
        statistics: str | None = None,
        per_task: str | Sequence[str] = (),
    ) -> "Backbone":
        """A backbone over trained weights, those of any module or of a file; the module is copied.

        Args:
            weights: a ``.safetensors`` file, or what ``torch.save`` wrote; or a ``state_dict``;
                None: the module's own.
            parameters: patterns of the trained ones; the others are drawn from the seed.
            statistics: as :class:`BackboneRecipe` has it; running ones begin at the trained ones.
                None: frozen where the trained values have any.
            per_task: as :class:`BackboneRecipe` has it; the task's begin at the trained ones.

        Raises:
            InvalidInput: as :meth:`from_module`; or the file is missing, or not of this network.
        """
        path = Path(weights) if isinstance(weights, str | PathLike) else None
        drawn = Drawn(
            seed=seed,
            init=init,
            fan_density=fan_density,
            trained=tuple(parameters),
            file=None if path is None else WeightsFile.of(path, parameters=parameters),
        )
        names = None if maskable is None else parse_maskable(maskable)
        frozen, notes = parse_module(copy_module(module), statistics)
        if path is not None:
            what, values = values_in(path)
        elif isinstance(weights, Mapping):
            what, values = "weights", dict(weights)
        else:
            what, values = values_of(frozen)
        values = under_own_names(frozen, values, what=what, patterns=parameters)
        drawn.freeze(frozen)
        own = parse_patterns(per_task)
        start_at_rest(frozen, own)
        given = [name for name in values if matches(name, parameters)]
        statistics = statistics or default_statistics(frozen, given)
        if statistics == "frozen":
            require_statistics(frozen, given, what=what)
        trained = place_values(frozen, values, what=what, patterns=parameters)
        made = cls(frozen.eval(), None, names, notes, trained, statistics, own)
        made.drawn = drawn
        return made

    def trained_values(self) -> dict[str, Shaped[Tensor, "..."]]:
        """The values that no seed gives back, by name, in the module's order."""
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: tensor.detach() for name, tensor in named if name in self.trained}

    @property
    def ships(self) -> bool:
        """Whether the network is one of this package's, of which all is known."""
        return self.recipe is not None and self.recipe.net in NETS

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
        """Raise DigestMismatch or LayoutMismatch where an archive is of another network than this.

        Of other weights; or of the same, in code of a user's that does not answer as it did
        (:mod:`supsup.networks.answer`). An archive made by hand says nothing of weights, and passes
        where its layers are these; an imported one, which has no recipe, knows the weights under
        its masks only.
        """
        require_archive(archive)
        expected = archive.weights_digest
        own = self.digest if archive.backbone is not None else digest_of(self.weights.items())
        if expected is not None and expected not in (own, self.digest):
            files = apart(archive.backbone, self.recipe.weights_file) if self.recipe else ""
            handed_in = (archive.backbone or {}).get("net", "") is None
            way_out = (
                "hand over the module that it was made for, with its trained weights where it had "
                "some"
                if handed_in
                else "take the archive's own network, supsup.archives.backbone_of(archive)"
            )
            raise DigestMismatch(
                f"{archive.path}: its masks are of weights of digest {expected}, "
                f"backbone {self.name} has {own}{files}; {way_out}, or make another archive"
            )
        if archive.layout != self.layout:
            raise LayoutMismatch(
                f"{archive.path}: its masks cover {dict(archive.layout.shapes)!r:.120}, those of "
                f"backbone {self.name} {dict(self.layout.shapes)!r:.120}"
            )
        if not self.ships:
            check_answer(self, archive)

    @plain_modes()
    def to(self, device: torch.device | str) -> "Backbone":
        """The same backbone on another device; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        moved = self._around(copy.deepcopy(self.module).to(device))
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
        made = self._around(module)
        made.probed = self.probed
        return made

    def _around(self, module: nn.Module) -> "Backbone":
        """The same backbone with its module in another place."""
        made = Backbone(
            module,
            self.recipe,
            tuple(self.layout.shapes),
            self.notes,
            self.trained,
            self.statistics,
            self.per_task,
        )
        made.drawn = self.drawn
        return made
