import numpy as np
import pytest

from maskstore.seeded.scores import ScoreStart
from maskstore.seeded.weights import WeightSigns
from supsup import BackboneRecipe, build
from supsup.networks.recipe import INITS


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("net", ["lenet-300-100", "bn-2048"])
def test_signs_are_those_of_the_backbone(init, net):
    recipe = BackboneRecipe(net=net, outputs=10, seed=4, init=init)
    backbone = build(recipe)
    signs = WeightSigns.from_recipe(recipe.to_json())
    for name, shape in backbone.layout.shapes.items():
        positive = (backbone.weights[name].detach().numpy() > 0).reshape(-1)
        assert np.array_equal(signs.draw(name, shape), positive), name


def test_recipes_without_seeded_weights_have_none():
    for recipe in (None, {}, {"seed": 1}, {"seed": -1, "init": "signed-constant"}, {"seed": "x"}):
        assert WeightSigns.from_recipe(recipe) is None
    assert WeightSigns.from_recipe({"seed": 1, "init": "other"}) is None


def test_top_bytes_are_the_order_of_the_scores():
    layout = build(BackboneRecipe(net="lenet-300-100", outputs=10)).layout
    start = ScoreStart(seed=9, stream="scores/t")
    for name, scores in start.draw(layout).items():
        top = start.top_bytes(name, scores.size)
        assert np.array_equal(top >> 7, scores.reshape(-1) >= 0)
        by_size = scores.reshape(-1)[np.argsort(top, kind="stable")]
        assert np.all(np.diff(by_size) > -2.01 * np.abs(scores).max() / 256)
