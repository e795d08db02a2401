"""Whether data are like any task's, by prototypes: against scipy, on blobs, in archives."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from maskstore import CorruptArchive, InvalidInput, MaskArchive
from supsup.archives import known_in
from supsup.choices import PROTOTYPES_SET
from supsup.inference import MaskBank, infer_in
from supsup.inference.prototypes import (
    PooledCovariance,
    PrototypeModel,
    TaskPrototypes,
    add_prototypes,
    measure,
)
from supsup.inference.prototypes.stored import stored_usual
from supsup.inference.prototypes.strangers import UsualDistances
from supsup.merging import merge_archives
from supsup.tasks.subset import named
from tests.supsup.inference.helpers import odd_net, random_masks
from tests.supsup.inference.test_prototypes import SMALL, blobs, images_of, labelled, ridged

MANY = 1200
"""Images of a task of blobs, half of them to train with: 60 of those are kept back."""


def test_distances_are_those_of_normal_densities():
    size, classes = 6, (2, 3, 1)
    parts = [measure([labelled(80, size, k, k)], classes=k, size=size, task="t") for k in classes]
    total = PooledCovariance(total=sum(steps for _, steps in parts), tasks=frozenset({1, 2, 3}))
    model = PrototypeModel([means for means, _ in parts], total)
    x = np.random.default_rng(3).normal(size=(9, size)).astype(np.float32)
    tasks = np.arange(9) % 3
    relative, near = model.distances(x, tasks)

    within = ridged(total, size, images=3 * 80 - 6)
    every = np.concatenate([means.means for means, _ in parts]).astype(np.float64)
    weights = np.concatenate([means.counts for means, _ in parts]) / 240
    middle = weights @ every
    of_all = within + np.cov(every.T, aweights=weights, bias=True)

    def squared(mean, covariance):
        """Mahalanobis, from the density."""
        density = multivariate_normal(mean, covariance)
        return -2 * (density.logpdf(x) - density.logpdf(mean))

    ends = np.cumsum([0, *classes])
    nearest = [
        min(squared(mean, within)[at] for mean in every[ends[task] : ends[task + 1]])
        for at, task in enumerate(tasks)
    ]
    assert np.allclose(near, nearest, atol=1e-3)
    assert np.allclose(relative, nearest - squared(middle, of_all), atol=1e-3)


class TestUsual:
    def test_nineteen_of_twenty_are_not_strange(self):
        rng = np.random.default_rng(0)
        relative, near = rng.normal(-40, 9, 4000), rng.chisquare(30, 4000)
        usual = UsualDistances.of(relative, near)
        found = usual.strangeness(relative, near)
        assert (found > 1).mean() == pytest.approx(0.05, abs=1e-3)
        assert found.mean() == pytest.approx(0, abs=1e-6)
        assert usual.strangeness(relative + 30, near).mean() > 1
        assert usual.strangeness(relative, near + 100).mean() > 1
        again = UsualDistances.decode(usual.encode())
        assert np.allclose(again.strangeness(relative, near), found, atol=1e-4)

    def test_distances_that_are_all_the_same_say_nothing(self):
        assert UsualDistances.of(np.zeros(9), np.arange(9.0)) is None
        assert UsualDistances.of(np.arange(9.0), np.ones(9)) is None

    @pytest.mark.parametrize(
        "values", [[1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 1, 1, -1, 1], [1, 1, 1, 1, np.nan]]
    )
    def test_forged(self, values):
        with pytest.raises(CorruptArchive, match="what is usual"):
            UsualDistances.decode(np.array(values, np.float32))


@pytest.fixture
def archive(tmp_path):
    backbone = odd_net()
    masks = random_masks(backbone, 5)
    with MaskArchive.create(
        tmp_path / "a.h5", backbone.layout, weights_digest=backbone.digest
    ) as opened:
        for at, name in enumerate(masks.names):
            opened.add(name, masks.unpack(at))
        yield opened


def asked(archive, x, **options):
    backbone = odd_net()
    names = [task.name for task in archive if task.tensors]
    known = TaskPrototypes(archive, backbone, names)
    bank = MaskBank(backbone, archive.packed(names), classes=2, prototypes=known)
    return infer_in(bank, x, **options)


class TestKnown:
    def test_near_strangers_and_far_ones(self, archive):
        tasks = [blobs(k, MANY) for k in range(4)]
        add_prototypes(archive, odd_net(), tasks, SMALL)
        own = torch.cat([images_of(task) for task in tasks])
        shares = {
            name: np.mean(known_in(archive, asked(archive, x)))
            for name, x in {
                "own": own,
                "left out": images_of(blobs(4, MANY)),
                "noise": torch.randn(300, 13, generator=torch.Generator().manual_seed(0)),
            }.items()
        }
        assert shares["own"] == pytest.approx(0.95, abs=0.03)
        assert shares["left out"] < 0.3
        assert shares["noise"] < 0.4
        batch = images_of(blobs(4, MANY))[:16]
        assert known_in(archive, asked(archive, batch, mode="batch"), "batch") == [False] * 16
        batch = images_of(tasks[1])[:16]
        assert known_in(archive, asked(archive, batch, mode="batch"), "batch") == [True] * 16

    def test_images_of_one_task_are_strange_to_another(self, archive):
        """Where masks find the task, prototypes say whether the images are of it."""
        tasks = [blobs(k, MANY) for k in range(3)]
        add_prototypes(archive, odd_net(), tasks, SMALL)
        found = asked(archive, images_of(tasks[0]), method="exhaustive")
        known = np.array(known_in(archive, found))
        assert known[found.tasks == 0].mean() > 0.85
        assert known[found.tasks != 0].mean() < 0.1

    def test_no_image_kept_back_no_bar(self, archive):
        add_prototypes(archive, odd_net(), [blobs(0)], SMALL)  # of 60 images none can be spared
        assert stored_usual(archive) is None
        found = asked(archive, images_of(blobs(0)))
        assert found.strangeness is None
        assert set(known_in(archive, found)) == {None}  # nor do the masks know their energy
        add_prototypes(archive, odd_net(), [blobs(1, MANY)])
        usual = stored_usual(archive)
        assert usual is not None
        add_prototypes(archive, odd_net(), [blobs(2)])  # what was known stays
        assert stored_usual(archive) == usual

    def test_the_bar_follows_the_tasks(self, archive):
        """Task after task: what was usual beside one of them is not beside five. The images kept
        back of the last task alone decide, so that the share is not 0.95 as exactly."""
        tasks = [blobs(k, MANY) for k in range(5)]
        for task in tasks:
            add_prototypes(archive, odd_net(), [task], SMALL)
        own = torch.cat([images_of(task) for task in tasks])
        assert 0.85 < np.mean(known_in(archive, asked(archive, own))) < 0.99

    def test_a_class_of_few_images_keeps_them(self, archive):
        task = blobs(0, MANY)
        x, y = task.train_batch(torch.arange(600))
        y[:] = 0
        y[0] = 1
        rare = type(task)("task/0", train=(x, y), test=(x, y), classes=2)
        for at in range(600):  # wherever it is
            order = torch.roll(torch.arange(600), at)
            if at % 60 == 0:
                moved = type(task)("task/0", train=(x[order], y[order]), test=(x, y), classes=2)
                add_prototypes(archive, odd_net(), [moved], SMALL, rebuild=True)
        add_prototypes(archive, odd_net(), [rare], SMALL, rebuild=True)
        with pytest.raises(InvalidInput, match="class 1 has no training image"):
            none = type(task)("task/0", train=(x, 0 * y), test=(x, y), classes=2)
            add_prototypes(archive, odd_net(), [none], SMALL, rebuild=True)

    def test_merged_archives_have_that_of_most_tasks(self, tmp_path):
        backbone, parts = odd_net(), []
        masks = random_masks(backbone, 3)
        for at, chosen in enumerate(([0], [1, 2])):
            part = MaskArchive.create(
                tmp_path / f"{at}.h5", backbone.layout, weights_digest=backbone.digest
            )
            for task in chosen:
                part.add(f"task/{task}", masks.unpack(task))
            known = [named(blobs(task, MANY), f"task/{task}") for task in chosen]
            add_prototypes(part, backbone, known, SMALL)
            parts.append(part)
        merge_archives(parts, tmp_path / "m.h5")
        with MaskArchive.open(tmp_path / "m.h5") as merged:
            assert stored_usual(merged) == stored_usual(parts[1]) != stored_usual(parts[0])
            shared = merged.shared_tensors(PROTOTYPES_SET)
        assert set(shared) == {"features", "covariance", "tasks", "usual"}
        for part in parts:
            part.close()
