"""Numbers that an answer is made of, and that no later step would correct."""

import math

import numpy as np
import pytest
import torch

from maskstore import InvalidInput, MaskArchive, PackedMasks
from maskstore.seeded import streams as seeded
from supsup.evaluation.score import Skipped
from supsup.inference import OBJECTIVES, MaskBank
from supsup.inference.find_task import parse_data
from supsup.inference.mask_source import Resident
from supsup.inference.methods import prototypes as method
from supsup.inference.objectives import parse_objective
from supsup.inference.prototypes import Features
from supsup.inference.prototypes.statistics import key_of
from supsup.inference.prototypes.strangers import USUAL_SHARE, UsualDistances
from supsup.inference.query import Query
from tests.supsup.inference.helpers import images, odd_net, random_masks
from tests.supsup.inference.test_prototypes import SMALL


def test_masks_that_are_appended_are_those_that_are_read():
    masks = random_masks(odd_net(), 90)
    first = PackedMasks(layout=masks.layout, names=masks.names[:1], bits=masks.bits[:1])
    source = Resident(first)
    for at in range(1, 90):
        source.append(masks.names[at], masks.bits[at])
    assert list(source.names) == list(masks.names)
    assert np.array_equal(source.read(slice(None)).numpy(), masks.bits)


def test_masks_of_an_archive(tmp_path):
    backbone = odd_net()
    masks = random_masks(backbone, 3)
    with MaskArchive.create(
        tmp_path / "a.h5", backbone.layout, weights_digest=backbone.digest
    ) as archive:
        for at, name in enumerate(masks.names):
            archive.add(name, masks.unpack(at))
        bank = MaskBank(backbone, archive)
        assert (len(bank), bank.tensors.any) == (3, False)
        assert np.array_equal(bank.source.read(slice(None)).numpy(), masks.bits)


def test_more_classes_than_outputs():
    backbone = odd_net(outputs=5)
    masks = random_masks(backbone, 2)
    assert MaskBank(backbone, masks, classes=5).class_count(5) == 5
    with pytest.raises(InvalidInput, match="expected 1 to 5"):
        MaskBank(backbone, masks, classes=6).class_count(5)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("per_image", [False, True])
def test_the_shortlist_of_prototypes(count, per_image, monkeypatch):
    backbone = odd_net()
    bank = MaskBank(backbone, random_masks(backbone, 6))
    likelihoods = np.random.default_rng(count).normal(size=(4, 6))

    class Known:
        def log_likelihoods(self, x):
            return likelihoods

    shortlists = []

    def by_masks(query, rows):
        shortlists.append(rows)
        return np.full((len(rows), 6), -2.0)

    bank.prototypes = Known()
    monkeypatch.setattr(method, "evidence_on", by_masks)
    query = Query(bank=bank, x=images(4), objective=parse_objective("entropy"), per_image=per_image)
    found = method.Prototypes(shortlist=count).evidence(query)
    expected = likelihoods if per_image else likelihoods.sum(0, keepdims=True)
    best = np.sort(np.argsort(-expected, axis=1)[:, :count], axis=1)
    assert np.array_equal(shortlists[0], best)
    assert np.allclose(found, expected - 2 * 5 * (1 if per_image else 4))


def test_what_is_usual_in_units_of_its_own():
    rng = np.random.default_rng(0)
    relative = rng.normal(size=2000)
    near = 50 - 7 * relative + 0.1 * rng.normal(size=2000)
    usual = UsualDistances.of(relative, near)
    assert usual is not None
    for values, middle, unit in (
        (relative, usual.relative, usual.relative_unit),
        (near, usual.near, usual.near_unit),
    ):
        assert middle == pytest.approx(values.mean())
        assert unit == pytest.approx(np.quantile(values, USUAL_SHARE) - values.mean())
    assert 0 < usual.bar < 1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_temperature_is_one(name):
    assert parse_objective(name) == parse_objective(name, 1.0) != parse_objective(name, 2.0)


def test_what_archives_keep_of_prototypes():
    assert key_of("f" * 64) == 16**15 - 1
    phases = seeded.uniform(SMALL.seed, "prototypes/phases", (40,), 0.0, 2 * math.pi)
    assert np.allclose(
        Features(SMALL, odd_net())(torch.zeros(2, 13, dtype=torch.float32, device="cpu")),
        math.sqrt(2) * np.cos(phases),
        atol=1e-5,
    )


def test_data_of_another_range_are_refused():
    x = images(4).abs() + 0.1
    assert parse_data(x / x.max(), (0.0, 1.0)) is not None
    with pytest.raises(InvalidInput, match="data"):
        parse_data(255 * x, (0.0, 1.0))


def test_a_skipped_task_as_json():
    assert Skipped(name="t", reason="r").to_json() == {"name": "t", "reason": "r"}
