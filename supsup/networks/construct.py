"""The backbone of a recipe: its module made, checked, and given its numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from jaxtyping import Shaped
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup.networks.backbone import Backbone
from supsup.networks.constructor_randomness import SEEDS, make_twice
from supsup.networks.modes import construction, plain_modes
from supsup.networks.parse_module import parse_module
from supsup.networks.per_task import start_at_rest
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import NETS, default_maskable, make_module
from supsup.networks.trained import (
    default_statistics,
    place_values,
    require_statistics,
    under_own_names,
)
from supsup.networks.weights import freeze
from supsup.networks.weights_file import read_weights


def build(
    recipe: BackboneRecipe,
    *,
    allow_code: bool = False,
    values: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    beside: Iterable[Path] = (),
) -> Backbone:
    """The backbone of a recipe, on the CPU.

    Args:
        allow_code: whether ``module:function`` may be imported and called.
        values: those of the recipe's weights file, where they are at hand; None reads the file.
        beside: further folders to look for that file in.

    Raises:
        InvalidInput: the net is unknown, not allowed, does not fit the recipe, cannot be run under
            masks, or is not the same each time it is made; or its weights file is missing, another
            one, or not of this network.

    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=0))
    >>> backbone.layout.shapes
    {'fc1.weight': (300, 784), 'fc2.weight': (100, 300), 'fc3.weight': (10, 100)}
    >>> backbone.digest[:12]
    'fc401a283630'
    """
    if not isinstance(recipe, BackboneRecipe):
        raise InvalidInput(f"recipe: expected a BackboneRecipe, got {recipe!r:.80}")
    if recipe.weights_file is not None and values is None:
        found = recipe.weights_file.found(beside)
        assert found.path is not None
        recipe, values = replace(recipe, weights=found), read_weights(found.path)
    if recipe.net in NETS:
        with construction(SEEDS[0]):
            module = make_module(recipe, allow_code=allow_code)
        notes: tuple[str, ...] = ()
    else:

        def make() -> tuple[nn.Module, tuple[str, ...]]:
            return parse_module(make_module(recipe, allow_code=allow_code), recipe.statistics)

        module, notes = make_twice(make, recipe.net)
    if values is not None and (file := recipe.weights_file) is not None:
        what = f"weights {file.file}"
        values = under_own_names(module, values, what=what, patterns=file.parameters)
    if recipe.statistics is None:
        recipe = replace(recipe, statistics=_default_statistics(module, recipe, values))
    return _frozen(module, recipe, notes, values=values)


def _default_statistics(
    module: nn.Module, recipe: BackboneRecipe, values: Mapping[str, Tensor] | None
) -> str:
    if recipe.net in NETS and NETS[recipe.net].statistics == "batch":
        return "batch"
    file = recipe.weights_file
    given = () if file is None or values is None else filter(file.gives, values)
    return default_statistics(module, given)


def remade(backbone: Backbone) -> Backbone:
    """The backbone of a recipe made once more, its constructor run under another seed."""
    recipe = backbone.recipe
    assert recipe is not None
    with construction(SEEDS[1]):
        module, notes = parse_module(make_module(recipe, allow_code=True), recipe.statistics)
    return _frozen(module, recipe, notes, values=backbone.trained_values())


@plain_modes()
def _frozen(
    module: nn.Module,
    recipe: BackboneRecipe,
    notes: tuple[str, ...] = (),
    *,
    values: Mapping[str, Shaped[Tensor, "..."]] | None,
) -> Backbone:
    freeze(module, seed=recipe.seed, init=recipe.init, fan_density=recipe.fan_density)
    own = tuple(recipe.per_task)
    start_at_rest(module, own)
    trained: frozenset[str] = frozenset()
    if (file := recipe.weights_file) is not None and values is not None:
        what = f"weights {file.file}"
        if recipe.statistics == "frozen":
            require_statistics(module, filter(file.gives, values), what=what)
        trained = place_values(module, values, what=what, patterns=file.parameters)
    names = default_maskable(recipe)
    assert recipe.statistics is not None
    return Backbone(module.eval(), recipe, names, notes, trained, recipe.statistics, own)
