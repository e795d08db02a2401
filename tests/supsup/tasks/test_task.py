import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.datasets import load
from supsup.tasks import TaskRecipe, make_task, task_family
from tests.supsup.datasets.helpers import dataset

DATA = dataset()


def task(rule, index=0, seed=0, data=DATA, **options):
    recipe = TaskRecipe(dataset=data.name, rule=rule, index=index, seed=seed, options=options)
    return make_task(recipe, data)


def normalised(images: np.ndarray) -> np.ndarray:
    return ((images / 255 - 0.1307) / 0.3081).reshape(len(images), -1)


def everything(task):
    return task.train_batch(torch.arange(task.train_size))


@pytest.mark.parametrize("index", range(5))
def test_split(index):
    made = task("split", index)
    for labels, images, (x, y) in (
        (DATA.train_labels, DATA.train_images, everything(made)),
        (DATA.test_labels, DATA.test_images, next(made.test_batches(100))),
    ):
        pairs = [
            (image, label - 2 * index)
            for image, label in zip(images.numpy(), labels.tolist(), strict=True)
            if label // 2 == index
        ]
        np.testing.assert_allclose(x, normalised(np.stack([p[0] for p in pairs])), atol=1e-5)
        assert y.tolist() == [p[1] for p in pairs]
        assert set(y.tolist()) == {0, 1}
    assert made.classes == 2
    assert made.name == f"split-mnist/{index}"
    assert (made.train_size, made.test_size) == (8, 4)


def test_split_in_two():
    made = task("split", 1, ways=5)
    assert made.classes == 5
    assert made.train_y.bincount().tolist() == [4] * 5


def test_split_with_the_data_sets_labels():
    """``data/partitionmnistv2.py`` of the paper's code: the same images, labelled 2i and 2i + 1."""
    shared, original = task("split", 3), task("split", 3, labels="original")
    (x, y), (same_x, same_y) = everything(original), everything(shared)
    assert torch.equal(x, same_x)
    assert torch.equal(y, same_y + 6)
    assert torch.equal(original.test_y, shared.test_y + 6)
    assert (original.classes, shared.classes) == (10, 2)
    recipe = TaskRecipe(dataset="mnist", rule="split", index=3, options={"labels": "original"})
    assert recipe.class_count == 10


def test_rotated_by_the_nearest_pixels():
    bilinear, nearest = task("rotated", 4), task("rotated", 4, sampling="nearest")
    images = DATA.train_images.numpy()
    expected = [np.array(Image.fromarray(image).rotate(40)) for image in images]
    np.testing.assert_allclose(everything(nearest)[0], normalised(np.stack(expected)), atol=1e-5)
    assert not torch.allclose(everything(nearest)[0], everything(bilinear)[0], atol=0.1)


def test_permuted():
    for index, seed in ((0, 0), (17, 0), (17, 5)):
        made = task("permuted", index, seed)
        order = seeded.permutation(seed, f"permuted/{index}", 784)
        x, y = everything(made)
        expected = normalised(DATA.train_images.numpy())[:, order]
        np.testing.assert_allclose(x, expected, atol=1e-5)
        assert torch.equal(y, DATA.train_labels)
        assert made.classes == 10
    assert made.name == "permuted-mnist/17"


def test_permutations_differ_by_index_and_seed():
    orders = {
        tuple(task("permuted", index, seed).pixels.index[0].tolist())
        for index in range(3)
        for seed in range(3)
    }
    assert len(orders) == 9
    assert all(sorted(order) == list(range(784)) for order in orders)


@pytest.mark.parametrize("index", [0, 1, 9, 35])
def test_rotated_is_black_outside(index):
    x, y = everything(task("rotated", index))
    turned = ndimage.rotate(
        DATA.train_images.numpy().astype(float), 10 * index, axes=(1, 2), reshape=False,
        order=1, mode="grid-constant", cval=0,
    )  # fmt: skip
    np.testing.assert_allclose(x, normalised(turned), atol=1e-5)
    assert torch.equal(y, DATA.train_labels)


def test_the_same_recipe_makes_the_same_bits():
    for rule in ("split", "permuted", "rotated"):
        first, second = task(rule, 3, 1), task(rule, 3, 1)
        assert torch.equal(everything(first)[0], everything(second)[0])


def test_inputs_are_pinned():
    """The sample's inputs, bit for bit: what masks were trained on must not change."""
    sample = load("mnist-sample")
    digests = {}
    for family in ("split", "permuted", "rotated"):
        recipe = task_family(f"{family}-mnist-sample", 3, seed=7)[2]
        x, _ = make_task(recipe, sample).test_batch(torch.arange(0, 300, 7))
        digests[family] = hashlib.sha256(x.numpy().astype("<f4").tobytes()).hexdigest()[:16]
    assert digests == {
        "split": "a210c0effa9d0df5",
        "permuted": "9ab0b304d0154367",
        "rotated": "3d81ffa074a26ad5",
    }


def test_batches():
    made = task("rotated", 2)
    x, y = everything(made)
    assert x.dtype == torch.float32
    some = torch.tensor([5, 0, 5])
    batch_x, batch_y = made.train_batch(some)
    assert torch.equal(batch_x, x[some])
    assert torch.equal(batch_y, y[some])
    one_x, one_y = made.train_batch(torch.tensor([3]))
    assert (one_x.shape, one_y.shape) == ((1, 784), (1,))
    batches = list(made.test_batches(8))
    assert [len(y) for _, y in batches] == [8, 8, 4]
    whole_x, whole_y = made.test_batch(torch.arange(20))
    assert torch.equal(torch.cat([x for x, _ in batches]), whole_x)
    assert torch.equal(torch.cat([y for _, y in batches]), whole_y)
    assert torch.equal(whole_y, DATA.test_labels)
    with pytest.raises(InvalidInput, match="at least 1, got 0"):
        next(made.test_batches(0))


def test_making_batches_leaves_the_images_alone():
    before = DATA.train_images.clone()
    for rule in ("split", "permuted", "rotated"):
        everything(task(rule, 1))
    assert torch.equal(DATA.train_images, before)


def test_tasks_of_all_classes_share_the_images():
    for rule in ("permuted", "rotated"):
        made = task(rule, 4)
        assert made.train_images.data_ptr() == DATA.train_images.data_ptr()
        assert made.test_y.data_ptr() == DATA.test_labels.data_ptr()


def test_moving():
    made = task("rotated", 1)
    moved = made.to("meta")
    assert moved.device.type == "meta"
    assert moved.train_batch(torch.arange(3, device="meta"))[0].shape == (3, 784)
    assert moved.pixels.weight.device.type == "meta"
    assert task("split").to("cpu").recipe == task("split").recipe


@pytest.mark.cuda
def test_inputs_have_the_same_bits_on_a_gpu():
    for rule in ("split", "permuted", "rotated"):
        on_gpu = task(rule, 1, data=DATA.to("cuda"))
        x, _ = on_gpu.train_batch(torch.arange(8, device="cuda"))
        assert torch.equal(x.cpu(), task(rule, 1).train_batch(torch.arange(8))[0])


def test_another_data_set_is_refused():
    recipe = TaskRecipe(dataset="fashion-mnist", rule="split", index=0)
    with pytest.raises(InvalidInput, match="'fashion-mnist', got 'mnist'"):
        make_task(recipe, DATA)


def test_a_data_set_of_ones_own():
    few = dataset(
        name="few", classes=4, train_labels=DATA.train_labels % 4, test_labels=DATA.test_labels % 4
    )
    assert task("split", 1, data=few).name == "split-few/1"
    with pytest.raises(InvalidInput, match="'split-few/2': expected an index from 0 to 1"):
        task("split", 2, data=few)
    with pytest.raises(InvalidInput, match="4 classes cannot be split into tasks of 3"):
        task("split", 0, data=few, ways=3)


def test_a_task_without_images_is_refused():
    lopsided = dataset(name="lopsided", test_labels=DATA.test_labels % 2)
    with pytest.raises(InvalidInput, match="classes 2, 3, found none for testing"):
        task("split", 1, data=lopsided)
