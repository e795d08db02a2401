"""Tasks of one bank may differ in their number of classes: each is scored over its own."""

import math

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.inference import (
    OBJECTIVES,
    Binary,
    Entropy,
    Exhaustive,
    Hybrid,
    MaskBank,
    OneShot,
    Query,
    choose,
    infer_in,
)
from tests.supsup.inference.helpers import brute_logits, images, odd_net, random_masks

COUNTS = [2, 4, 3, 2, 4]


def mixed_bank(density: float = 0.5) -> MaskBank:
    backbone = odd_net(outputs=6)
    masks = random_masks(backbone, len(COUNTS), density=density)
    return MaskBank(backbone, masks, classes=COUNTS)


@pytest.mark.parametrize("kind", OBJECTIVES.values())
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_an_answer_that_says_nothing_has_one_value_whatever_the_classes(kind, classes):
    flat = torch.zeros(4, 3, 8)
    there, here = (kind()(flat, n, relative=True) for n in (classes, 4))
    torch.testing.assert_close(there, here)


def by_hand(name: str, z: torch.Tensor, classes: int) -> torch.Tensor:
    own = z[..., :classes]
    return {
        "entropy": torch.distributions.Categorical(logits=own).entropy() / math.log(classes),
        "energy": -(own.exp().mean(-1)).log(),
        "max-probability": (1 / classes - own.softmax(-1).amax(-1)) / (1 - 1 / classes),
        "superfluous": z[..., classes:].exp().mean(-1).log(),
        "g": z.exp().mean(-1).log(),
    }[name]


@pytest.mark.parametrize("kind", OBJECTIVES.values())
@pytest.mark.parametrize("density", [0.5, 0.05])
@pytest.mark.parametrize("per_image", [True, False])
def test_exhaustive_scores_each_task_over_its_own_classes(kind, density, per_image):
    bank, x = mixed_bank(density), images(7)
    assert (bank.sparse is not None) == (density < 0.1)
    masks = random_masks(bank.backbone, len(COUNTS), density=density)
    logits = brute_logits(bank.backbone, x, masks)
    values = torch.stack(
        [by_hand(kind.name, z, count) for z, count in zip(logits, COUNTS, strict=True)]
    )
    expected = -(values.T if per_image else values.mean(1)[None]).numpy()
    found = Exhaustive().evidence(Query(bank=bank, x=x, objective=kind(), per_image=per_image))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_logits_and_predictions_are_of_the_own_classes():
    bank, x = mixed_bank(), images(40)
    logits = brute_logits(bank.backbone, x, random_masks(bank.backbone, len(COUNTS)))
    own = torch.stack([z[:, :c].amax(1) for z, c in zip(logits, COUNTS, strict=True)])
    found = infer_in(bank, x, method="logits")
    np.testing.assert_array_equal(found.tasks, own.argmax(0).numpy())
    for method in ("logits", "auto"):
        found = infer_in(bank, x, method=method)
        for at, task in enumerate(found.tasks):
            mine = logits[task, at, : COUNTS[task]]
            assert found.predictions[at] == int(mine.argmax())
            assert found.energy[at] == pytest.approx(float(-mine.logsumexp(0)), rel=1e-4)


@pytest.mark.parametrize("method", [OneShot(), Binary(), Hybrid()])
def test_a_superposition_of_such_tasks_is_refused(method):
    query = Query(bank=mixed_bank(), x=images(3), objective=Entropy(), per_image=True)
    with pytest.raises(InvalidInput, match="from 2 to 4 classes.*exhaustive"):
        method.evidence(query)


def test_auto_takes_what_can_be_done():
    method, why = choose(mixed_bank(), images=3, mode="image")
    assert method == Exhaustive()
    assert "differ" in why


def test_a_task_of_one_class_is_always_certain():
    backbone = odd_net(outputs=6)
    bank = MaskBank(backbone, random_masks(backbone, 2), classes=[1, 3])
    with pytest.raises(InvalidInput, match="one class.*energy"):
        infer_in(bank, images(3))
    assert infer_in(bank, images(3), objective="energy").predictions.max() < 3


@pytest.mark.parametrize(("classes", "match"), [([2, 3], "got 2"), ([0, 1, 2, 3, 4], "got 0")])
def test_counts_that_do_not_fit(classes, match):
    backbone = odd_net(outputs=6)
    with pytest.raises(InvalidInput, match=match):
        MaskBank(backbone, random_masks(backbone, 5), classes=classes)


def test_equal_counts_are_one_number():
    backbone = odd_net(outputs=6)
    masks = random_masks(backbone, 5)
    alike, one = (MaskBank(backbone, masks, classes=c) for c in ([3] * 5, 3))
    assert alike.class_counts is None
    for method in ("one-shot", "exhaustive"):
        here, there = (infer_in(bank, images(6), method=method) for bank in (alike, one))
        np.testing.assert_array_equal(here.evidence, there.evidence)
