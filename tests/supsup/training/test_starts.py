import numpy as np
import pytest
import torch

from maskstore import MaskArchive
from maskstore.codecs.knowledge import Prior
from maskstore.seeded.scores import ScoreStart
from supsup import Backbone, TrainConfig, train
from supsup.training.config import rule_of
from supsup.training.metadata import TaskMetadata
from supsup.training.starts import begin
from tests.supsup.helpers import Blobs
from tests.supsup.networks.trained_net import train_net

RULES = ("threshold", "topk", "gradual")


def scores_of(backbone, rule, **settings):
    config = TrainConfig(steps=5, rule=rule, **settings)
    starts = [ScoreStart(seed=1), ScoreStart(seed=2)]
    made = rule_of(config, backbone.layout)
    buffers = begin(backbone, made, starts, torch.float32)
    return made, buffers.layers(buffers.scores)


def test_threshold_keeps_all_trained_weights_at_piggyback_s_distance(tmp_path):
    backbone = Backbone.pretrained(train_net(tmp_path))
    rule, layers = scores_of(backbone, "threshold")
    for name, layer in layers.items():
        assert layer.unique().tolist() == [pytest.approx(1e-2 - 5e-3)]
        assert bool(rule.select_each(name, layer).all())


@pytest.mark.parametrize("rule", ["topk", "gradual"])
def test_ordered_rules_begin_with_the_largest_trained_weights(tmp_path, rule):
    backbone = Backbone.pretrained(train_net(tmp_path))
    made, layers = scores_of(backbone, rule, density=0.25)
    for name, weight in backbone.weights.items():
        kept = made.select_each(name, layers[name])
        count = int(kept[0].sum())
        assert 0 < count < weight.numel()
        assert weight.abs()[kept[0]].min() >= weight.abs()[~kept[0]].max()
        assert torch.equal(kept[0], kept[1])
        assert float(layers[name].max()) == pytest.approx(weight.shape[1] ** -0.5)


@pytest.mark.parametrize("rule", RULES)
def test_layers_with_seeded_weights_start_as_they_always_did(tmp_path, rule):
    mixed = Backbone.pretrained(train_net(tmp_path), parameters=["first.*"], seed=3)
    _, layers = scores_of(mixed, rule, **({} if rule == "threshold" else {"density": 0.25}))
    drawn = ScoreStart(seed=2).draw(mixed.layout)
    assert np.array_equal(layers["second.weight"][1].numpy(), drawn["second.weight"])
    assert not np.array_equal(layers["first.weight"][1].numpy(), drawn["first.weight"])


@pytest.mark.parametrize(
    ("parameters", "kept"), [(["*"], False), (["second.*"], True), (["first.bias"], True)]
)
def test_a_seeded_start_is_kept_only_where_scores_came_from_one(tmp_path, parameters, kept):
    backbone = Backbone.pretrained(train_net(tmp_path), parameters=parameters)
    (mask,) = train(backbone, [Blobs(classes=4)], TrainConfig(steps=5, lr=0.01))
    assert (TaskMetadata.from_json(mask.metadata).scores is not None) == kept


def recipe(parameters):
    return {"net": "x:y", "outputs": 4, "seed": 3, "init": "signed-constant"} | (
        {} if parameters is None else {"weights": {"parameters": parameters}}
    )


@pytest.mark.parametrize(
    ("parameters", "seeded"),
    [(None, True), (["*.bias"], True), (["*"], False), (["first.*"], False), ("first", False)],
)
@pytest.mark.parametrize("codec", ["auto", "seeded", "history", "ans", "gaps", "zstd"])
def test_masks_over_trained_weights_come_back_bit_for_bit(tmp_path, parameters, seeded, codec):
    backbone = Backbone.pretrained(train_net(tmp_path))
    start = ScoreStart(seed=3)
    masks = {name: layer >= 0 for name, layer in start.draw(backbone.layout).items()}
    masks["first.weight"].flat[::7] ^= True
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, backbone.layout, backbone=recipe(parameters)) as archive:
        # Even where the metadata name a start, as those of a mask from elsewhere may.
        archive.add("a", masks, {"scores": start.to_json()}, codec=codec)
    with MaskArchive.open(path) as archive:
        found = archive.get("a")
        assert archive.prior.seeded == seeded
        assert (archive.task("a").codec == "seeded") <= seeded
        if codec in ("auto", "seeded"):
            assert (archive.task("a").codec == "seeded") == seeded
    assert all(np.array_equal(found[name], mask) for name, mask in masks.items())


def test_seeded_signs_are_known_of_seeded_parameters_alone(tmp_path):
    layout = Backbone.pretrained(train_net(tmp_path)).layout
    assert Prior.of_archive(layout, recipe(["*.bias"])).weights is not None
    assert Prior.of_archive(layout, recipe(["first.weight"])).weights is None
