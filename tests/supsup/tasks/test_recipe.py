import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskstore.errors import InvalidInput
from supsup.tasks import TaskRecipe, family_names, task_family


@st.composite
def recipes(draw):
    rule = draw(st.sampled_from(["split", "permuted", "rotated"]))
    options = {
        "split": st.sampled_from([{}, {"ways": 2}, {"ways": 5}, {"labels": "original"}]),
        "permuted": st.just({}),
        "rotated": st.sampled_from([{}, {"degrees": 30}, {"sampling": "nearest"}]),
    }[rule]
    return TaskRecipe(
        dataset=draw(st.sampled_from(["mnist", "fashion-mnist", "mnist-sample", "my digits"])),
        rule=rule,
        index=draw(st.integers(0, 1)),
        seed=draw(st.integers(0, 2**64)),
        options=draw(options),
    )


@given(recipe=recipes())
def test_json_round_trip(recipe):
    again = TaskRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.name == recipe.name


def test_the_json_is_pinned():
    # Archives keep it: a change here makes them unreadable.
    assert TaskRecipe(dataset="mnist", rule="rotated", index=3, seed=5).to_json() == {
        "dataset": "mnist",
        "rule": "rotated",
        "index": 3,
        "seed": 5,
        "options": {"degrees": 10},
    }


@pytest.mark.parametrize(
    ("rule", "name", "default", "other"),
    [("split", "labels", "shared", "original"), ("rotated", "sampling", "bilinear", "nearest")],
)
def test_a_recipe_names_a_choice_only_where_it_is_not_the_default(rule, name, default, other):
    def made(**options):
        return TaskRecipe(dataset="mnist", rule=rule, index=1, options=options)

    assert made(**{name: default}) == made()
    assert name not in made(**{name: default}).to_json()["options"]
    assert made(**{name: other}).to_json()["options"][name] == other
    assert made(**{name: other}) != made()


def test_names():
    def name(**fields):
        return TaskRecipe(**fields).name

    assert name(dataset="mnist", rule="split", index=0) == "split-mnist/0"
    assert name(dataset="mnist", rule="permuted", index=17) == "permuted-mnist/17"
    assert name(dataset="mnist-sample", rule="rotated", index=3) == "rotated-mnist/3"
    assert name(dataset="fashion-mnist", rule="split", index=4) == "split-fashion-mnist/4"
    assert name(dataset="my digits", rule="permuted", index=1) == "permuted-my digits/1"


def test_a_recipe_is_frozen_and_keeps_its_own_options():
    options = {"ways": 5}
    recipe = TaskRecipe(dataset="mnist", rule="split", index=0, options=options)
    options["ways"] = 2
    assert recipe.options == {"ways": 5}
    with pytest.raises(FrozenInstanceError):
        recipe.index = 1
    assert recipe != TaskRecipe(dataset="mnist", rule="split", index=0)


GOOD = {"dataset": "mnist", "rule": "split", "index": 0, "seed": 0, "options": {"ways": 2}}
BAD = {
    "list": ([], "expected a JSON object, got list"),
    "unknown key": ({**GOOD, "colour": 1}, "unknown key 'colour'.*newer release"),
    "missing key": ({k: v for k, v in GOOD.items() if k != "seed"}, "'seed' is missing"),
    "dataset": ({**GOOD, "dataset": 3}, "name of a data set, got 3"),
    "no dataset": ({**GOOD, "dataset": ""}, "name of a data set"),
    "rule": (
        {**GOOD, "rule": "shuffled"},
        "'shuffled': not one for data set 'mnist'; known: split, permuted, rotated",
    ),
    "rule type": ({**GOOD, "rule": []}, "name of a task rule"),
    "index": ({**GOOD, "index": -1}, "index of at least 0.*got -1"),
    "index type": ({**GOOD, "index": 1.0}, "index of at least 0.*got 1.0"),
    "index bool": ({**GOOD, "index": True}, "got True"),
    "index high": ({**GOOD, "index": 5}, "'split-mnist/5': expected an index from 0 to 4"),
    "seed": ({**GOOD, "seed": -1}, "seed.*got -1"),
    "seed type": ({**GOOD, "seed": "0"}, "seed.*got '0'"),
    "options": ({**GOOD, "options": [1]}, "expected options as a mapping"),
    "option": (
        {**GOOD, "options": {"degrees": 2}},
        "unknown option 'degrees'; known: ways, labels",
    ),
    "option of none": (
        {**GOOD, "rule": "permuted"},
        "unknown option 'ways'; known: none",
    ),
    "value": ({**GOOD, "options": {"ways": 0}}, "positive whole number, got 0"),
    "value type": ({**GOOD, "options": {"ways": "2"}}, "positive whole number, got '2'"),
    "choice": (
        {**GOOD, "options": {"labels": "other"}},
        "option 'labels': expected one of shared, original, got 'other'",
    ),
    "choice type": ({**GOOD, "options": {"labels": ["shared"]}}, "expected one of shared"),
    "choice of another": ({**GOOD, "options": {"sampling": "nearest"}}, "unknown option"),
    "ways": ({**GOOD, "options": {"ways": 3}}, "10 classes cannot be split into tasks of 3"),
    "one way": ({**GOOD, "options": {"ways": 1}}, "at least 2"),
    "degrees": (
        {**GOOD, "rule": "rotated", "options": {"degrees": 7}},
        "must divide 360, got 7",
    ),
}


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD.keys())
def test_from_json_refuses(value, message, unchecked):
    assert TaskRecipe.from_json(GOOD).to_json() == GOOD
    with pytest.raises(InvalidInput, match=message):
        TaskRecipe.from_json(value)


def test_families():
    assert [recipe.name for recipe in task_family("split-mnist")] == [
        f"split-mnist/{i}" for i in range(5)
    ]
    assert len(task_family("rotated-fashion-mnist")) == 36
    assert len(task_family("rotated-mnist", options={"degrees": 5})) == 72
    sample = task_family("split-mnist-sample", 2, seed=3)
    assert [recipe.dataset for recipe in sample] == ["mnist-sample"] * 2
    assert [recipe.name for recipe in sample] == ["split-mnist/0", "split-mnist/1"]
    assert {recipe.seed for recipe in sample} == {3}
    many = task_family("permuted-mnist", 2500, seed=1)
    assert [recipe.index for recipe in many] == list(range(2500))


@pytest.mark.parametrize("name", family_names())
def test_every_family_that_is_named_exists(name):
    assert task_family(name, 1)[0].index == 0


@pytest.mark.parametrize(
    "name", ["mnist", "split", "split-", "split-cifar10", "permuted-imagenet", "-mnist", ""]
)
def test_unknown_families_list_the_known(name):
    with pytest.raises(InvalidInput, match="unknown task family.*split-mnist, .*rotated-mnist"):
        task_family(name, 1)


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("split-mnist", 6, "split-mnist: expected 1 to 5 tasks, got 6"),
        ("rotated-mnist", 37, "expected 1 to 36 tasks, got 37"),
        ("split-mnist", 0, "expected 1 to 5 tasks, got 0"),
        ("permuted-mnist", -1, "expected at least 1 tasks, got -1"),
        ("permuted-mnist", None, "permuted-mnist: has no last task"),
    ],
)
def test_too_many_too_few(name, n, message):
    with pytest.raises(InvalidInput, match=message):
        task_family(name, n)


@pytest.mark.parametrize(
    ("family", "tasks", "ways"), [("split-cifar100", 20, 5), ("split-imagenet", 100, 10)]
)
def test_classes_are_dealt_to_the_tasks_by_the_seed(family, tasks, ways):
    def dealt(seed):
        recipes = task_family(family, seed=seed)
        assert {recipe.class_count for recipe in recipes} == {ways}
        every = tasks * ways
        hands = [r.task_rule.classes(r.index, r.seed, every, r.options) for r in recipes]
        assert sorted(number for hand in hands for number in hand) == list(range(every))
        return hands

    assert len(dealt(0)) == tasks
    assert dealt(0) == dealt(0) != dealt(1)
    assert dealt(0)[0] != sorted(dealt(0)[0])
    recipe = task_family(family)[3]
    assert recipe.name == f"{family}/3"
    assert TaskRecipe.from_json(recipe.to_json()) == recipe
