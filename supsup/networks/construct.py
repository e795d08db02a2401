"""The backbone of a recipe: its module made, checked, and given its numbers."""

from torch import nn

from supsup.networks.backbone import Backbone
from supsup.networks.constructor_randomness import SEEDS, make_twice
from supsup.networks.modes import construction, plain_modes
from supsup.networks.parse_module import parse_module
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import NETS, default_maskable, make_module
from supsup.networks.weights import freeze


def build(recipe: BackboneRecipe, *, allow_code: bool = False) -> Backbone:
    """The backbone of a recipe, on the CPU.

    Args:
        allow_code: whether ``module:function`` may be imported and called.

    Raises:
        InvalidInput: the net is unknown, not allowed, does not fit the recipe, cannot be run under
            masks, or is not the same each time it is made.

    >>> backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10, seed=0))
    >>> backbone.layout.shapes
    {'fc1.weight': (300, 784), 'fc2.weight': (100, 300), 'fc3.weight': (10, 100)}
    >>> backbone.digest[:12]
    'fc401a283630'
    """
    if recipe.net in NETS:
        with construction(SEEDS[0]):
            return _frozen(make_module(recipe, allow_code=allow_code), recipe)

    def make() -> tuple[nn.Module, tuple[str, ...]]:
        return parse_module(make_module(recipe, allow_code=allow_code))

    module, notes = make_twice(make, recipe.net)
    return _frozen(module, recipe, notes)


def remade(recipe: BackboneRecipe) -> Backbone:
    """The backbone of a recipe that was built already, its constructor run under another seed."""
    with construction(SEEDS[1]):
        module, notes = parse_module(make_module(recipe, allow_code=True))
    return _frozen(module, recipe, notes)


@plain_modes()
def _frozen(module: nn.Module, recipe: BackboneRecipe, notes: tuple[str, ...] = ()) -> Backbone:
    freeze(module, seed=recipe.seed, init=recipe.init, fan_density=recipe.fan_density)
    return Backbone(module.eval(), recipe, default_maskable(recipe), notes)
