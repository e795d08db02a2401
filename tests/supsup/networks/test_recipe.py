import json

import pytest

from maskstore.errors import InvalidInput
from supsup import BackboneRecipe
from tests.supsup.helpers import as_users_run_it


def test_json_round_trip():
    recipe = BackboneRecipe(
        net="m:f",
        outputs=3,
        seed=9,
        init="scaled-kaiming",
        fan_density=0.25,
        maskable=("a.weight",),
        options={"hidden": [3, 4]},
    )
    again = BackboneRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.maskable == ("a.weight",)


def test_defaults_round_trip():
    recipe = BackboneRecipe(net="bn-2048", outputs=2)
    assert BackboneRecipe.from_json(recipe.to_json()) == recipe


def test_options_are_a_copy():
    options = {"hidden": [3]}
    recipe = BackboneRecipe(net="m:f", outputs=3, options=options)
    options["hidden"].append(4)
    assert recipe.options == {"hidden": [3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": ""}, "net: expected"),
        ({"outputs": 0}, "outputs: expected 1 to"),
        ({"outputs": True}, "outputs: expected 1 to"),
        ({"outputs": 2**21}, "outputs: expected 1 to"),
        ({"seed": -1}, "seed: expected"),
        ({"init": "xavier"}, "init: expected one of signed-constant"),
        ({"fan_density": 0.0}, "fan_density"),
        ({"fan_density": float("nan")}, "fan_density"),
        ({"maskable": []}, "maskable"),
        ({"maskable": ["a", "a"]}, "maskable: expected distinct"),
        ({"maskable": "abc"}, "maskable: expected a list"),
        ({"options": [1]}, "options: expected a mapping"),
        ({"options": {"a": float("nan")}}, "options: must be JSON"),
        ({"colour": 1}, "field 'colour' is unknown"),
    ],
)
def test_a_bad_field_is_named(change, message):
    value = BackboneRecipe(net="bn-2048", outputs=2).to_json() | change
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        BackboneRecipe.from_json(value)


@pytest.mark.parametrize("value", [None, [], {"net": "bn-2048"}, "bn-2048"])
def test_what_is_no_recipe_is_refused(value):
    with pytest.raises(InvalidInput, match="backbone recipe: expected an object"):
        BackboneRecipe.from_json(value)
