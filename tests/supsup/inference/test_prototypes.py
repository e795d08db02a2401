"""Prototypes: statistics against plain numpy and scipy, storage, and the tasks they find."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from maskstore import (
    CorruptArchive,
    InvalidInput,
    LayoutMismatch,
    MaskArchive,
    TaskExists,
    TaskNotFound,
    verify,
)
from supsup import Backbone, TensorTask
from supsup.choices import PROTOTYPES_SET
from supsup.inference import MaskBank, infer_in
from supsup.inference.prototypes import (
    ClassMeans,
    FeatureRecipe,
    Features,
    PooledCovariance,
    PrototypeModel,
    TaskPrototypes,
    add_prototypes,
    measure,
)
from supsup.inference.prototypes.stored import MEANS, stored_covariance
from supsup.merging import copy_between, merge_archives
from supsup.tasks.subset import named
from tests.supsup.inference.helpers import images, odd_net, random_masks

SMALL = FeatureRecipe(size=40)


def blobs(task: int, count: int = 120, seed: int = 0, spread: float = 0.3) -> TensorTask:
    """Two classes about two centres of the task's own, 13 numbers an image."""
    centres = np.random.default_rng(task).normal(size=(2, 13))
    rng = np.random.default_rng(1000 * seed + task)
    y = np.arange(count) % 2
    x = torch.from_numpy((centres[y] + spread * rng.normal(size=(count, 13))).astype(np.float32))
    half = count // 2
    labels, half = torch.from_numpy(y), count // 2
    return TensorTask(
        f"task/{task}",
        train=(x[:half], labels[:half]),
        test=(x[half:], labels[half:]),
        classes=2,
    )


def images_of(task: TensorTask) -> torch.Tensor:
    """All test images."""
    return torch.cat([x for x, _ in task.test_batches(64)])


def training_set(task: TensorTask):
    """All training images and their labels."""
    return task.train_batch(torch.arange(task.train_size, dtype=torch.int64))


@pytest.fixture
def archive(tmp_path):
    """Five random masks, open for writing: what the masks say is worth nothing."""
    backbone = odd_net()
    masks = random_masks(backbone, 5)
    with MaskArchive.create(
        tmp_path / "a.h5", backbone.layout, weights_digest=backbone.digest
    ) as opened:
        for at, name in enumerate(masks.names):
            opened.add(name, masks.unpack(at))
        yield opened


class TestFeatures:
    def test_they_are_a_function_of_seed_and_input_alone(self):
        x = images(7)
        first, again = (Features(SMALL, odd_net(seed=seed))(x) for seed in (0, 9))
        assert np.array_equal(first, again)
        assert not np.allclose(first, Features(FeatureRecipe(size=40, seed=1), odd_net())(x))
        assert np.abs(first).max() <= 2**0.5 + 1e-6

    def test_the_scale_of_an_image_does_not_matter(self):
        x, features = images(7), Features(SMALL, odd_net())
        assert np.allclose(features(x), features(3 * x), atol=1e-5)

    def test_inner_products_approximate_a_gaussian_kernel(self):
        x = images(20)
        found = Features(FeatureRecipe(size=4000), odd_net())(x)
        unit = x / x.square().mean(1, keepdim=True).sqrt()
        distance = torch.cdist(unit, unit).square().numpy() / x.shape[1]
        assert np.abs(found @ found.T / 4000 - np.exp(-0.5 * 0.85**2 * distance)).max() < 0.12

    def test_of_a_layer(self):
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
        backbone = Backbone.from_module(net, seed=0)
        x = images(5, 1, 6, 6)
        pooled = backbone.module[1](backbone.module[0](x)).flatten(2).mean(2)
        expected = Features(SMALL, backbone)(pooled)
        found = Features(FeatureRecipe(size=40, layer="1"), backbone)(x)
        assert np.allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"size": 1}, "features: expected a whole number from 2 to 8192, got 1"),
            ({"size": True}, "features: expected a whole number from 2 to 8192, got True"),
            ({"layer": ""}, "expected the name of a layer"),
            ({"seed": -1}, "seed"),
        ],
    )
    def test_recipes_are_checked(self, fields, message):
        with pytest.raises(InvalidInput, match=message):
            FeatureRecipe(**fields)

    def test_what_has_no_projection(self):
        with pytest.raises(InvalidInput, match="no layer 'head'; the network has: .*fc"):
            Features(FeatureRecipe(layer="head"), odd_net())
        features = Features(SMALL, odd_net())
        with pytest.raises(InvalidInput, match="no real numbers have no projection"):
            features(torch.zeros(3, 13, dtype=torch.int64))
        features(images(2))
        with pytest.raises(InvalidInput, match="expected inputs of 13 numbers, got 14"):
            features(images(2, 14))


def labelled(count: int, size: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    mix = rng.normal(size=(size, size)) / size**0.5
    x = rng.normal(size=(classes, size))[y] + rng.normal(size=(count, size)) @ mix
    return x.astype(np.float32), y


class TestStatistics:
    def test_means_and_covariance_are_those_of_numpy(self):
        x, y = labelled(300, 12, 3)
        parts = [(x[:100], y[:100]), (x[100:], y[100:])]
        found, steps = measure(parts, classes=3, size=12, task="t")
        means = np.stack([x[y == c].mean(0) for c in range(3)])
        assert np.array_equal(found.counts, np.bincount(y))
        assert (np.abs(found.means - means) <= np.abs(means).max(1)[:, None] / 250).all()
        within = np.cov((x - means[y]).T, bias=True)
        total = PooledCovariance(total=steps, tasks=frozenset({1})).matrix(12)
        assert np.abs(total - within).max() <= 0.5 / 1024 + 1e-6

    def test_a_class_is_256_bytes_by_default(self):
        x, y = labelled(50, 248, 2)
        found, _ = measure([(x, y)], classes=2, size=248, task="t")
        rows = found.encode()
        assert rows.shape == (2, 256)
        again = ClassMeans.decode(rows, 248)
        assert np.array_equal(again.means, found.means)
        assert np.array_equal(again.counts, found.counts)

    def test_a_class_without_images_is_refused(self):
        x, _ = labelled(5, 4, 1)
        with pytest.raises(InvalidInput, match="'t': class 1 has no training image"):
            measure([(x, np.zeros(5, np.int64))], classes=2, size=4, task="t")

    @pytest.mark.parametrize("change", ["shape", "scale", "count"])
    def test_forged_rows(self, change):
        x, y = labelled(50, 8, 2)
        rows = measure([(x, y)], classes=2, size=8, task="t")[0].encode()
        if change == "shape":
            rows = rows[:, 1:]
        elif change == "scale":
            rows[0, 8:12] = 255
        else:
            rows[0, 12:] = 0
        with pytest.raises(CorruptArchive):
            ClassMeans.decode(rows, 8)

    def test_the_order_of_tasks_does_not_matter_and_no_task_counts_twice(self):
        parts = [
            PooledCovariance(
                total=np.random.default_rng(k).integers(-999, 999, 6), tasks=frozenset({k})
            )
            for k in range(3)
        ]
        a, b, c = parts
        one, other = a.joined(b).joined(c), c.joined(a).joined(b)
        assert np.array_equal(one.total, other.total)
        assert one.tasks == other.tasks == {0, 1, 2}
        assert a.joined(b).joined(b) is not None
        assert np.array_equal(a.joined(b).joined(b).total, a.joined(b).total)
        assert b.joined(a.joined(b)).tasks == {0, 1}


def ridged(total: PooledCovariance, size: int, images: int) -> np.ndarray:
    """By eigenvalues: the square of features over images, of the mean one, at least 1e-3."""
    values, vectors = np.linalg.eigh(total.matrix(size))
    values += values.mean() * max(1e-3, (size / images) ** 2) + 1e-9
    return (vectors * values) @ vectors.T


class TestFewImages:
    """Features are many beside the images: the covariance has no inverse of its own."""

    @pytest.mark.parametrize("size", [248, 1000, 2048])
    @pytest.mark.parametrize("count", [16, 60])
    def test_tasks_are_found(self, tmp_path, size, count):
        backbone, tasks = odd_net(), [blobs(k, count, spread=0.2) for k in range(5)]
        recipe = FeatureRecipe(size=size)
        features = Features(recipe, backbone)
        means, total = [], PooledCovariance.empty(size)
        for k, task in enumerate(tasks):
            x, y = training_set(task)
            own, steps = measure([(features(x), y.numpy())], classes=2, size=size, task=task.name)
            means.append(own)
            total = total.joined(PooledCovariance(total=steps, tasks=frozenset({k})))
        model = PrototypeModel(means, total)
        asked = [features(images_of(blobs(k, 120, spread=0.2))) for k in range(5)]
        right = [(model.task_scores(x).argmax(1) == k).mean() for k, x in enumerate(asked)]
        assert np.mean(right) > 0.9

    def test_what_rounding_turned_below_zero(self):
        """A thousand features that vary in five directions alone."""
        size, rng = 1000, np.random.default_rng(0)
        latent = rng.normal(size=(8000, 5)) @ rng.normal(size=(5, size)) / 5**0.5
        labels = np.arange(8000) % 2
        means, steps = measure(
            [(latent.astype(np.float32), labels)], classes=2, size=size, task="t"
        )
        covariance = PooledCovariance(total=steps, tasks=frozenset({1}))
        rounded = np.linalg.eigvalsh(covariance.matrix(size))
        assert rounded[0] < -2e-3  # more than the smallest ridge
        assert np.linalg.eigvalsh(covariance.regular(size, [means]))[0] > 0


def test_scores_are_log_densities():
    """Against scipy: differences between tasks are those of mixtures of normal densities."""
    size, rng = 6, np.random.default_rng(3)
    parts = [measure([labelled(80, size, k, k)], classes=k, size=size, task="t") for k in (2, 3, 1)]
    total = PooledCovariance(total=sum(steps for _, steps in parts), tasks=frozenset({1, 2, 3}))
    model = PrototypeModel([means for means, _ in parts], total)
    x = rng.normal(size=(9, size)).astype(np.float32)
    within = ridged(total, size, images=3 * 80 - 6)
    expected = np.stack(
        [
            np.logaddexp.reduce(
                [np.atleast_1d(multivariate_normal(m, within).logpdf(x)) for m in means.means]
            )
            - np.log(len(means.means))
            for means, _ in parts
        ],
        axis=1,
    )
    found = model.task_scores(x)
    assert np.allclose(found - found[:, :1], expected - expected[:, :1], atol=1e-3)


class TestStored:
    def test_single_images_find_their_task_though_masks_say_nothing(self, archive):
        backbone, tasks = odd_net(), [blobs(k) for k in range(5)]
        assert add_prototypes(archive, backbone, tasks, SMALL) == 5
        known = TaskPrototypes(archive, backbone)
        bank = MaskBank(backbone, archive, classes=2, prototypes=known)
        x = torch.cat([images_of(task) for task in tasks])
        truth = np.repeat(np.arange(5), 60)
        found = infer_in(bank, x)
        assert (found.method, "all 5 tasks have prototypes" in found.reason) == ("prototypes", True)
        assert (found.tasks == truth).mean() > 0.9
        assert (infer_in(bank, x, method="exhaustive").tasks == truth).mean() < 0.5
        for k, task in enumerate(tasks):
            batch = infer_in(bank, images_of(task), mode="batch")
            assert set(batch.tasks) == {k}

    @pytest.mark.parametrize("count", [4, 8, 16, 32])
    def test_about_as_many_images_as_features_are_enough(self, archive, count):
        """8 images of each of five tasks are 40, as many as features."""
        backbone, tasks = odd_net(), [blobs(k, 2 * count) for k in range(5)]
        add_prototypes(archive, backbone, tasks, SMALL)
        x = torch.cat([images_of(blobs(k)) for k in range(5)])
        found = TaskPrototypes(archive, backbone).log_likelihoods(x).argmax(1)
        assert (found == np.repeat(np.arange(5), 60)).mean() > 0.85

    def test_a_shortlist_weighs_the_masks_too(self, archive):
        from supsup.inference.methods import Prototypes

        backbone, tasks = odd_net(), [blobs(k) for k in range(5)]
        add_prototypes(archive, backbone, tasks, SMALL)
        bank = MaskBank(backbone, archive, classes=2, prototypes=TaskPrototypes(archive, backbone))
        x = images_of(tasks[0])[:6]
        alone = infer_in(bank, x, method=Prototypes())
        both = infer_in(bank, x, method=Prototypes(shortlist=2))
        masks = infer_in(bank, x, method="exhaustive")
        listed = np.argsort(-alone.evidence, axis=1)[:, :2]
        for row in range(6):
            for task in range(5):
                expected = -np.inf
                if task in listed[row]:
                    expected = alone.evidence[row, task] + 5 * masks.evidence[row, task]
                assert both.evidence[row, task] == pytest.approx(expected, rel=1e-4)

    def test_the_covariance_is_the_sum_whatever_the_runs(self, archive):
        backbone = odd_net()
        sizes = []
        for k in range(5):
            add_prototypes(archive, backbone, [blobs(k)], SMALL)
            sizes.append(len(stored_covariance(archive, 40).tasks))
        assert sizes == [1, 2, 3, 4, 5]
        at_once = PooledCovariance.empty(40)
        features = Features(SMALL, backbone)
        for k in range(sizes[-1]):
            x, y = training_set(blobs(k))
            _, steps = measure([(features(x), y.numpy())], classes=2, size=40, task="t")
            at_once = at_once.joined(PooledCovariance(total=steps, tasks=frozenset({k})))
        assert np.array_equal(at_once.total, stored_covariance(archive, 40).total)

    def test_a_file_grows_by_what_is_told(self, archive):
        before = archive.file_bytes
        add_prototypes(archive, odd_net(), [blobs(k) for k in range(5)], SMALL)
        tensors = [each for task in archive for each in task.tensors]
        told = sum(each.bytes for each in [*tensors, *archive.shared[PROTOTYPES_SET]])
        assert told <= archive.file_bytes - before <= told + 4096  # rows, and room for more

    @pytest.mark.parametrize("error", [KeyboardInterrupt, InvalidInput])
    def test_what_was_measured_is_kept_where_a_run_is_stopped(self, archive, error):
        tasks = [blobs(k) for k in range(5)]

        def stop(name: str) -> None:
            if name == "task/2":
                raise error

        with pytest.raises(error):
            add_prototypes(archive, odd_net(), tasks, SMALL, on_task=stop)
        assert [task.name for task in archive if task.tensors] == ["task/0", "task/1", "task/2"]
        assert len(stored_covariance(archive, 40).tasks) == 3
        assert add_prototypes(archive, odd_net(), tasks) == 2
        assert len(TaskPrototypes(archive, odd_net()).names) == 5

    def test_a_long_run_commits_when_tasks_have_doubled(self, archive, monkeypatch):
        monkeypatch.setattr("supsup.inference.prototypes.stored._TASKS_A_COMMIT", 1)
        sizes = []
        add_prototypes(
            archive,
            odd_net(),
            [blobs(k) for k in range(5)],
            SMALL,
            on_task=lambda _: sizes.append(len(archive.shared)),
        )
        assert sizes == [0, 1, 1, 1, 1]
        assert len(stored_covariance(archive, 40).tasks) == 5

    def test_it_goes_on_and_is_measured_anew_when_asked(self, archive):
        backbone, tasks = odd_net(), [blobs(k) for k in range(5)]
        assert add_prototypes(archive, backbone, tasks[:3], SMALL) == 3
        before = archive.tensors("task/1")[MEANS]
        assert add_prototypes(archive, backbone, tasks) == 2
        assert np.array_equal(archive.tensors("task/1")[MEANS], before)
        with pytest.raises(InvalidInput, match="asked for .*'size': 50"):
            add_prototypes(archive, backbone, tasks, FeatureRecipe(size=50))
        assert add_prototypes(archive, backbone, tasks, FeatureRecipe(size=50), rebuild=True) == 5
        assert archive.tensors("task/1")[MEANS].shape == (2, 58)
        assert len(stored_covariance(archive, 50).tasks) >= 4

    @pytest.mark.parametrize("recipe", [FeatureRecipe(size=50), FeatureRecipe(size=40, seed=1)])
    def test_means_of_other_features_do_not_stay(self, archive, recipe):
        backbone, tasks = odd_net(), [blobs(k) for k in range(5)]
        add_prototypes(archive, backbone, tasks, SMALL)
        archive.set_tensors("task/4", archive.tensors("task/4") | {"head": np.ones(2, np.float32)})
        assert add_prototypes(archive, backbone, tasks[:2], recipe, rebuild=True) == 2
        held = [[each.name for each in task.tensors] for task in archive]
        assert held == [[MEANS], [MEANS], [], [], ["head"]]
        with pytest.raises(InvalidInput, match="task 'task/2' has no prototypes"):
            TaskPrototypes(archive, backbone)
        assert add_prototypes(archive, backbone, tasks) == 3
        assert TaskPrototypes(archive, backbone).recipe == recipe

    def test_a_rebuild_that_cannot_begin_changes_nothing(self, archive):
        backbone, tasks = odd_net(), [blobs(k) for k in range(5)]
        add_prototypes(archive, backbone, tasks, SMALL)
        with pytest.raises(InvalidInput, match="no layer"):
            add_prototypes(archive, backbone, tasks, FeatureRecipe(layer="head"), rebuild=True)
        assert TaskPrototypes(archive, backbone).recipe == SMALL

    def test_other_tensors_of_a_task_stay(self, archive):
        archive.set_tensors("task/0", {"head": np.arange(3.0, dtype=np.float32)})
        add_prototypes(archive, odd_net(), [blobs(0)], SMALL)
        assert set(archive.tensors("task/0")) == {"head", MEANS}

    def test_what_is_missing_is_named(self, archive):
        backbone = odd_net()
        with pytest.raises(InvalidInput, match="has no prototypes; add them with"):
            TaskPrototypes(archive, backbone)
        add_prototypes(archive, backbone, [blobs(0)], SMALL)
        with pytest.raises(InvalidInput, match="task 'task/1' has no prototypes"):
            TaskPrototypes(archive, backbone)
        with pytest.raises(TaskNotFound):
            add_prototypes(archive, backbone, [blobs(17)])
        bank = MaskBank(backbone, archive, classes=2)
        with pytest.raises(InvalidInput, match="not every task has prototypes"):
            infer_in(bank, images(2), method="prototypes")

    def test_prototypes_of_other_tasks_are_refused(self, archive):
        backbone = odd_net()
        add_prototypes(archive, backbone, [blobs(k) for k in range(5)], SMALL)
        known = TaskPrototypes(archive, backbone)
        with pytest.raises(LayoutMismatch, match="prototypes of 5 tasks, masks of 4"):
            MaskBank(backbone, random_masks(backbone, 4), classes=2, prototypes=known)

    def test_forged_statistics_are_refused(self, archive):
        backbone = odd_net()
        add_prototypes(archive, backbone, [blobs(k) for k in range(5)], SMALL)
        shared = archive.shared_tensors(PROTOTYPES_SET)
        for change in (
            {"covariance": shared["covariance"][1:]},
            {"features": np.frombuffer(b'{"size": 40}', np.uint8)},
            {"features": np.frombuffer(b"\xff", np.uint8)},
        ):
            archive.set_shared_tensors(PROTOTYPES_SET, shared | change)
            with pytest.raises(CorruptArchive):
                TaskPrototypes(archive, backbone)


@pytest.fixture
def part(tmp_path):
    """A function from tasks and features to an archive, open to read; no features, no means."""
    opened = []

    def make(tasks, recipe: FeatureRecipe | None = SMALL, prefix: str = ""):
        backbone = odd_net()
        masks = random_masks(backbone, 5)
        archive = MaskArchive.create(
            tmp_path / f"{len(opened)}.h5", backbone.layout, weights_digest=backbone.digest
        )
        opened.append(archive)
        for task in tasks:
            archive.add(f"{prefix}task/{task}", masks.unpack(task))
        if recipe is not None:
            known = [named(blobs(task), f"{prefix}task/{task}") for task in tasks]
            add_prototypes(archive, backbone, known, recipe)
        return archive

    yield make
    for archive in opened:
        archive.close()


class TestMerge:
    def test_parts_are_the_whole(self, part, tmp_path):
        whole, parts = part(range(5)), [part([0, 1]), part([2]), part([3, 4])]
        assert merge_archives(parts, tmp_path / "m.h5") == 5
        with MaskArchive.open(tmp_path / "m.h5") as merged:
            assert verify(merged, deep=True) == []
            found = stored_covariance(merged, 40)
            assert np.array_equal(found.total, stored_covariance(whole, 40).total)
            assert found.tasks == stored_covariance(whole, 40).tasks
            x = torch.cat([images_of(blobs(task)) for task in range(5)])
            likelihoods = [
                TaskPrototypes(each, odd_net()).log_likelihoods(x) for each in (merged, whole)
            ]
            assert np.array_equal(*likelihoods)

    @pytest.mark.parametrize("turned", [False, True])
    def test_no_task_counts_twice(self, part, tmp_path, turned):
        parts = [part([0, 1, 2]), part([2, 3], prefix="again/")]
        merge_archives(parts[::-1] if turned else parts, tmp_path / "m.h5")
        with MaskArchive.open(tmp_path / "m.h5") as merged:
            assert stored_covariance(merged, 40).tasks == stored_covariance(parts[0], 40).tasks
            assert len(TaskPrototypes(merged, odd_net()).names) == 5

    @pytest.mark.parametrize("turned", [False, True])
    def test_with_an_archive_that_has_none(self, part, tmp_path, turned):
        parts = [part([0, 1]), part([2], None)]
        merge_archives(parts[::-1] if turned else parts, tmp_path / "m.h5")
        with MaskArchive.open(tmp_path / "m.h5", "a") as merged:
            assert len(stored_covariance(merged, 40).tasks) == 2
            with pytest.raises(InvalidInput, match="task 'task/2' has no prototypes"):
                TaskPrototypes(merged, odd_net())
            assert add_prototypes(merged, odd_net(), [blobs(task) for task in range(3)]) == 1
            assert len(stored_covariance(merged, 40).tasks) == 3

    def test_without_any_nothing_is_new(self, part, tmp_path):
        merge_archives([part([0], None), part([1], None)], tmp_path / "m.h5")
        with MaskArchive.open(tmp_path / "m.h5") as merged:
            assert (merged.names(), merged.shared) == (["task/0", "task/1"], {})
            assert merged.format_version == 1

    @pytest.mark.parametrize("recipe", [FeatureRecipe(size=50), FeatureRecipe(size=40, seed=1)])
    def test_of_other_features_are_refused(self, part, tmp_path, recipe):
        with pytest.raises(InvalidInput, match=r"1\.h5: prototypes of features .*0\.h5 are of"):
            merge_archives([part([0]), part([1], recipe)], tmp_path / "m.h5")
        assert not (tmp_path / "m.h5").exists()

    def test_other_shared_tensors_must_still_be_equal(self, part, tmp_path):
        parts = [part([0]), part([1])]
        parts[1].set_shared_tensors("own", {"w": np.ones(2, np.float32)})
        with pytest.raises(LayoutMismatch, match="shared tensors 'own' are not those"):
            merge_archives(parts, tmp_path / "m.h5")
        assert not (tmp_path / "m.h5").exists()


class TestCopy:
    def test_to_an_archive_of_other_tasks(self, part):
        """Covariances are added; likelihoods are those of one archive of all tasks."""
        whole, source, target = part(range(5)), part([0, 1, 2]), part([3, 4])
        copy_between(source, ["task/1", "task/0", "task/2"], target)
        assert verify(target, deep=True) == []
        assert target.names() == ["task/3", "task/4", "task/1", "task/0", "task/2"]
        assert stored_covariance(target, 40).tasks == stored_covariance(whole, 40).tasks
        x = torch.cat([images_of(blobs(task)) for task in range(5)])
        names = list(whole.names())
        found, expected = (
            TaskPrototypes(each, odd_net(), names).log_likelihoods(x) for each in (target, whole)
        )
        assert np.array_equal(found, expected)

    def test_again_and_again_no_task_counts_twice(self, part):
        source, target = part([0, 1, 2]), part([3])
        for name in ("task/0", "task/1"):
            copy_between(source, [name], target)
            assert len(stored_covariance(target, 40).tasks) == 4
        assert len(TaskPrototypes(target, odd_net()).names) == 3

    @pytest.mark.parametrize("source_has", [True, False])
    def test_where_only_one_has_prototypes(self, part, source_has):
        source = part([0, 1], SMALL if source_has else None)
        target = part([2], None if source_has else SMALL)
        copy_between(source, ["task/1"], target)
        has = [bool(task.tensors) for task in target]
        assert has == [not source_has, source_has]
        assert len(stored_covariance(target, 40).tasks) == (2 if source_has else 1)

    def test_of_other_features_are_refused_and_nothing_changes(self, part):
        source, target = part([0]), part([1], FeatureRecipe(size=50))
        before = target.shared_tensors(PROTOTYPES_SET)
        with pytest.raises(InvalidInput, match=r"0\.h5: prototypes of features .*1\.h5 are of"):
            copy_between(source, ["task/0"], target)
        assert target.names() == ["task/1"]
        assert before.keys() == target.shared_tensors(PROTOTYPES_SET).keys()

    def test_a_name_that_is_there_changes_nothing(self, part):
        source, target = part([0, 1]), part([1])
        with pytest.raises(TaskExists):
            copy_between(source, ["task/0", "task/1"], target)
        assert target.names() == ["task/1"]
        assert len(stored_covariance(target, 40).tasks) == 1
