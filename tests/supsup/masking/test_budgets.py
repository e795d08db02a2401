import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from supsup import TrainConfig
from supsup.masking import TopK, budget
from supsup.masking.budgets import paper_budget
from supsup.training.config import rule_of
from tests.supsup.helpers import as_users_run_it

LENET = MaskLayout({"fc1": (300, 784), "fc2": (100, 300), "fc3": (100, 100)})


def test_nine_tenths_of_ten_is_nine():
    # int((1 - k) * n), seen in the field, drops none of ten at k = 0.9.
    assert budget(MaskLayout({"w": (10,)}), 0.9) == {"w": 9}


@pytest.mark.parametrize(
    ("density", "n", "keep"),
    [
        (0.9, 10, 9),
        (0.1, 10, 1),
        (0.7, 10, 7),
        (0.3, 10, 3),
        (0.25, 10, 3),
        (0.01, 10, 1),
        (1.0, 3, 3),
    ],
)
def test_uniform_rounds_half_up_and_keeps_at_least_one(density, n, keep):
    assert budget(MaskLayout({"w": (n,)}), density) == {"w": keep}


def test_every_hundredth_of_a_hundred_is_exact():
    layout = MaskLayout({"w": (100,)})
    assert [budget(layout, k / 100)["w"] for k in range(1, 101)] == list(range(1, 101))


def test_erdos_renyi_by_hand():
    keep = budget(LENET, 0.1, "erdos-renyi")
    # c (300 + 784) + c (100 + 300) + c (100 + 100) = 0.1 · 275,200
    c = 27_520 / (1084 + 400 + 200)
    assert keep == {"fc1": 17_715, "fc2": 6_537, "fc3": 3_268}
    for name, units in (("fc1", 1084), ("fc2", 400), ("fc3", 200)):
        assert abs(keep[name] - c * units) < 1
    assert sum(keep.values()) == 27_520


def test_erdos_renyi_fills_small_layers_and_spreads_the_rest():
    keep = budget(LENET, 0.5, "erdos-renyi")
    # fc3 would need 16,340 of its 10,000 and fc2 32,680 of its 30,000.
    assert keep == {"fc1": 97_600, "fc2": 30_000, "fc3": 10_000}


def test_erdos_renyi_counts_kernel_axes():
    layout = MaskLayout({"a": (8, 4, 3, 3), "b": (64, 64)})
    keep = budget(layout, 0.05, "erdos-renyi")
    assert keep["a"] / keep["b"] == pytest.approx(18 / 128, rel=0.05)


shapes = st.lists(st.integers(1, 30), min_size=1, max_size=4).map(tuple)


@given(
    st.lists(shapes, min_size=1, max_size=5),
    st.floats(0.01, 1.0),
    st.sampled_from(["uniform", "erdos-renyi"]),
)
def test_a_budget_is_possible_and_adds_up(sizes, density, kind):
    layout = MaskLayout({f"l{at}": shape for at, shape in enumerate(sizes)})
    keep = budget(layout, density, kind)
    for name, shape in layout.shapes.items():
        assert 1 <= keep[name] <= math.prod(shape)
    if kind == "erdos-renyi":
        total = math.floor(density * layout.bits + 0.5)
        # Above the total only where every layer's one weight asks for it.
        assert total <= sum(keep.values()) <= total + len(sizes)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, math.nan])
def test_an_impossible_density_is_refused(density):
    with pytest.raises(InvalidInput, match="density"):
        budget(LENET, density)


def test_an_unknown_budget_is_refused():
    with pytest.raises(InvalidInput, match="budget: expected one of uniform, erdos-renyi"):
        budget(LENET, 0.5, "magic")


def test_the_papers_budget_by_hand():
    layout = MaskLayout(
        {"conv": (64, 32, 3, 3), "wide": (1000, 1000), "head": (10, 64), "one": (9,)}
    )
    assert paper_budget(layout, 4.0) == {
        "conv": 4 * 96,
        "wide": 4 * 2000,
        "head": 296,
        "one": 5,  # half of nine, rounded up
    }
    assert paper_budget(layout, 1e-9) == {"conv": 1, "wide": 1, "head": 1, "one": 1}


@pytest.mark.parametrize("s", [4, 8, 16])
def test_splitimagenet_keeps_what_its_sizes_were_calculated_for(s):
    from benchmarks.resnet50 import layout
    from benchmarks.results import FOLDER
    from maskstore.stats import binary_entropy

    shapes, _ = layout()
    keep = paper_budget(shapes, float(s))
    for name, shape in shapes.shapes.items():
        n = math.prod(shape)
        assert keep[name] / n == pytest.approx(min(0.5, s * (shape[0] + shape[1]) / n), abs=1 / n)
    sizes = {name: math.prod(shape) for name, shape in shapes.shapes.items()}
    entropy = sum(n * binary_entropy(keep[name] / n) / 8 for name, n in sizes.items())
    rows = json.loads((FOLDER / "mask_coding.json").read_text())["resnet50"]["masks"]
    (figure,) = (row["entropy_mb"] for row in rows if row["s"] == s)
    assert 100 * entropy / 1e6 == pytest.approx(figure, abs=0.006)


def test_the_multiplier_makes_the_rule():
    config = TrainConfig(steps=1, rule="topk", budget="erdos-renyi", multiplier=8.0)
    assert rule_of(config, LENET).keep == {"fc1": 8 * 1084, "fc2": 8 * 400, "fc3": 8 * 200}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"multiplier": 0.0}, "multiplier: expected a positive number, got 0.0"),
        ({"multiplier": math.inf}, "multiplier: expected a positive number"),
        ({"multiplier": True}, "multiplier: expected a positive number, got True"),
        ({"multiplier": 4.0, "rule": "gradual"}, "goes with rule topk and budget erdos-renyi"),
        ({"multiplier": 4.0, "budget": "uniform"}, "got topk and uniform"),
        ({"multiplier": 4.0, "density": 0.1}, "expected one of them, got 0.1 and 4"),
    ],
)
def test_multipliers_that_cannot_be(fields, message):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        TrainConfig(**{"steps": 1, "rule": "topk", "budget": "erdos-renyi", **fields})


def test_the_paper_counts_a_layer_of_one_axis_as_one_of_one_output():
    assert paper_budget(MaskLayout({"bias": (100,)}), 0.25) == {"bias": 25}  # 0.25 (100 + 1) / 100


def test_topk_has_the_budget_of_its_settings():
    config = TrainConfig(steps=1, rule="topk", budget="uniform", density=0.3)
    assert TopK.for_layout(LENET, config).keep == budget(LENET, 0.3, "uniform")
