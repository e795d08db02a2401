"""The gradual rule against counts and orders by hand."""

import math

import pytest
import torch

from maskstore.layout import MaskLayout
from supsup import TrainConfig, build, train
from supsup.masking import Gradual, budget
from tests.supsup.helpers import Blobs, small_lenet

LAYOUT = MaskLayout({"a": (30, 40), "b": (10, 30)})


def rule(done: float = 1.0, density: float = 0.05, start: float = 0.4) -> Gradual:
    return Gradual(LAYOUT, density, "erdos-renyi", start_density=start).at(done)


@pytest.mark.parametrize(
    ("done", "density"),
    [(0.0, 0.4), (0.25, 0.05 + 0.35 / 8), (0.4, 0.05 + 0.35 * 0.2**3), (0.5, 0.05), (1.0, 0.05)],
)
def test_the_density_falls_with_the_cube_of_what_is_left_of_the_first_half(done, density):
    assert rule(done).keep == budget(LAYOUT, density, "erdos-renyi")


def test_a_fifth_of_the_weights_competes_at_first_unless_told_otherwise():
    config = TrainConfig(steps=10, rule="gradual", density=0.05)
    assert Gradual.for_layout(LAYOUT, config).at(0.0).keep == budget(LAYOUT, 0.2, "uniform")


def test_a_start_below_the_final_density_changes_nothing():
    assert rule(0.0, density=0.5, start=0.2).keep == budget(LAYOUT, 0.5, "erdos-renyi")


def test_largest_scores_with_their_sign_are_kept():
    scores = torch.tensor([[3.0, -9.0, 1.0, 2.0], [-8.0, 0.5, -0.1, -0.2]])
    layout = MaskLayout({"w": (2, 4)})
    kept = Gradual(layout, 0.375, "uniform", start_density=0.375).select("w", scores)
    assert kept.tolist() == [[True, False, True, True], [False, False, False, False]]


def test_gains_keep_the_size_of_what_a_unit_gets():
    final = rule(1.0)
    for done in (0.0, 0.1, 0.3):
        now = rule(done)
        for name in LAYOUT.shapes:
            assert now.gain(name) ** 2 * now.keep[name] == pytest.approx(final.keep[name])
            assert final.gain(name) == 1.0
            assert now.gain(name) < math.sqrt(0.9)


def test_training_ends_at_the_density_and_learns():
    backbone = build(small_lenet(init="scaled-signed-constant", fan_density=0.1))
    config = TrainConfig(
        steps=100,
        rule="gradual",
        density=0.1,
        budget="erdos-renyi",
        optimizer="adam",
        lr=0.01,
        batch=32,
    )
    (trained,) = train(backbone, [Blobs()], config)
    ones = {name: int(mask.sum()) for name, mask in trained.masks.items()}
    assert ones == budget(backbone.layout, 0.1, "erdos-renyi")
    assert trained.metrics["accuracy"] > 0.9
