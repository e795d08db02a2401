"""Allocation by prototypes: the statistic against scipy, and streams that it cuts into tasks."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from maskstore import MaskArchive
from maskstore.errors import InvalidInput
from supsup.archives import create_archive
from supsup.inference import MaskBank
from supsup.inference.prototypes import FeatureRecipe, Features
from supsup.task_free import LearnerCheckpoint, Prototypes, learn_into
from tests.supsup.inference.helpers import images, odd_net, random_masks
from tests.supsup.task_free.helpers import corners, new_learner, noise, run_through, stream_of

SIZE = 16


def begun(classes=3, **options):
    rule = Prototypes(size=SIZE, **options)
    rule.begin(odd_net(), classes)
    return rule


def judged(rule, x, y, masks=2):
    bank = MaskBank(odd_net(), random_masks(odd_net(), masks), classes=3)
    return rule.judge(bank, np.zeros(masks), x, y)


def test_the_statistic_is_that_of_two_samples_whose_covariance_is_known():
    """Against the sum over classes of Mahalanobis distances of means, term by term."""
    rule, draw = begun(), torch.Generator().manual_seed(0)
    seen = {0: (images(90), 3), 1: (images(90) + 0.4, 2)}  # the second has no image of class 2
    for mask, (x, classes) in seen.items():
        for part in torch.arange(90).split(40):
            rule.learnt(mask, x[part], part % classes)
    features = Features(FeatureRecipe(size=SIZE), odd_net())
    within, freedom = np.zeros((SIZE, SIZE)), 0
    for x, classes in seen.values():
        for label in range(classes):
            own = features(x)[np.arange(90) % classes == label].astype(np.float64)
            within += (own - own.mean(0)).T @ (own - own.mean(0))
            freedom += len(own) - 1
    within /= freedom
    within += np.eye(SIZE) * (1e-3 * np.trace(within) / SIZE + 1e-9)
    x = images(20)
    y = torch.randint(3, (20,), generator=draw)
    expected = []
    for theirs, classes in seen.values():
        total, degrees = 0.0, 0
        for label in set(y.tolist()) & set(range(classes)):
            batch = features(x)[y.numpy() == label].astype(np.float64)
            own = features(theirs)[np.arange(90) % classes == label].astype(np.float64)
            away = batch.mean(0) - own.mean(0)
            spread = within * (1 / len(batch) + 1 / len(own))
            total, degrees = total + away @ np.linalg.solve(spread, away), degrees + SIZE
        expected.append(total / degrees)
    best = int(np.argmin(expected))
    for ratio, known in ((expected[best] * 1.001, True), (expected[best] * 0.999, False)):
        if ratio > 1:
            again = begun(ratio=ratio)
            again.restore(rule.arrays())
            verdict = judged(again, x, y)
            assert (verdict.mask, verdict.known) == (best, known)
    assert max(expected) > 1


def test_chance_alone_stays_below_the_bar():
    """Of images that have no class at all, every batch lies as near as χ² has it."""
    rule = begun()
    every = torch.randn(6000, 13, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(6000) % 3
    rule.learnt(0, every[:4000], labels[:4000])
    found = [
        rule._seen[0].ratios(x, y)[0] * 3 * SIZE
        for x, y in zip(every[4000:].split(40), labels[4000:].split(40), strict=True)
    ]
    low, high = chi2(3 * SIZE).ppf([0.25, 0.75])
    between = (np.array(found) > low) & (np.array(found) < high)
    assert between.mean() == pytest.approx(0.5, abs=0.2)


def test_a_mask_that_has_seen_none_of_the_classes_is_not_taken():
    rule = begun()
    x = images(60)
    rule.learnt(0, x, torch.zeros(60, dtype=torch.int64))
    assert not judged(rule, images(9), torch.ones(9, dtype=torch.int64), 1).known


def learner(**options):
    return new_learner(allocation=Prototypes(size=SIZE), **options)


def test_a_mask_for_every_task_and_none_when_they_return():
    tasks = corners(4)
    stream = stream_of(tasks, visits=3)
    found = learner()
    masks = list(run_through(found, [*stream[:30], *noise(2), *stream[30:]]))
    owners = [[each["name"] for each in mask.metadata["sources"]] for mask in masks]
    assert owners == [[task.name] for task in tasks]
    assert found.report.allocated == 4
    assert 2 <= found.report.skipped <= 4  # of the first batches of a task one may stand apart


def test_the_budget_is_kept():
    tasks = corners(4)
    found = learner(budget=2)
    masks = list(run_through(found, stream_of(tasks, visits=2)))
    assert [mask.name for mask in masks] == ["nns/0", "nns/1"]
    assert found.report.refused > 0


def contents(path):
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256, task.metadata) for task in archive]


def test_killed_after_any_mask_it_goes_on_to_the_same(tmp_path):
    stream = stream_of(corners(2), visits=2, length=20)
    stream = [*stream[:20], *noise(2), *stream[20:]]

    def learn(path, most=None):
        at = 0
        with MaskArchive.open(path, "a") as archive:
            checkpoint = LearnerCheckpoint(path, {"rule": "prototypes"})
            kept = learn_into(archive, learner(), stream, checkpoint=checkpoint)
            for at, _ in enumerate(kept, start=1):
                if at == most:
                    break
        return at

    whole = tmp_path / "whole.h5"
    create_archive(whole, learner().backbone).close()
    count = learn(whole)
    assert count >= 4
    for most in (1, count - 1):
        path = tmp_path / f"{most}.h5"
        create_archive(path, learner().backbone).close()
        learn(path, most)
        files = sorted(file.suffix for file in (tmp_path / f"{most}.h5.learning").glob("*.npz"))
        assert files == [".npz"]  # the last state's alone
        learn(path)
        assert contents(path) == contents(whole)


def test_statistics_of_something_else_are_refused():
    arrays = begun(classes=2).arrays()
    for wrong in ({}, arrays, arrays | {"more": np.zeros(1)}):
        with pytest.raises(InvalidInput, match="statistics of other features or classes"):
            begun().restore(wrong)


def test_settings():
    with pytest.raises(InvalidInput, match="ratio: expected a number above 1"):
        Prototypes(ratio=1.0)
    with pytest.raises(InvalidInput, match="features: expected a whole number from 2"):
        Prototypes(size=1)
