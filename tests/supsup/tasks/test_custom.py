import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from maskstore.errors import InvalidInput
from supsup import LoaderTask, TaskData, TensorTask, TrainConfig, build, train
from tests.supsup.helpers import Blobs, as_users_run_it, small_lenet

BLOBS = Blobs()
TRAIN = (BLOBS.x[:300], BLOBS.y[:300])
TEST = (BLOBS.x[300:], BLOBS.y[300:])


def loader(pair, **options) -> DataLoader:
    return DataLoader(TensorDataset(*pair), **options)


def test_tensors_are_the_task_they_hold():
    task = TensorTask(BLOBS.name, train=TRAIN, test=TEST)
    assert isinstance(task, TaskData)
    assert (task.classes, task.train_size) == (2, 300)
    config = TrainConfig(steps=30)
    (wanted,) = train(build(small_lenet()), [BLOBS], config)
    (found,) = train(build(small_lenet()), [task], config)
    assert found.metrics == wanted.metrics
    assert all((found.masks[name] == layer).all() for name, layer in wanted.masks.items())


def test_loaders_train_and_choose_the_order():
    make = torch.Generator().manual_seed(0)
    task = LoaderTask(
        "mine",
        train=loader(TRAIN, batch_size=64, shuffle=True, generator=make),
        test=loader(TEST, batch_size=64),
        classes=2,
    )
    assert isinstance(task, TaskData)
    (found,) = train(build(small_lenet()), [task], TrainConfig(epochs=10, batch=64))
    assert found.metrics["accuracy"] > 0.9
    assert found.metrics["steps"] == 47


def test_small_last_batches_are_left_out():
    train_loader = loader(TRAIN, batch_size=128)
    task = LoaderTask("mine", train=train_loader, test=train_loader, classes=2)
    indices = torch.arange(128)
    first, second, third = (task.train_batch(indices)[0] for _ in range(3))
    assert torch.equal(first, third)
    assert torch.equal(torch.cat([first, second]), BLOBS.x[:256])


def test_batches_must_be_of_the_trainings_size():
    train_loader = loader(TRAIN, batch_size=32)
    task = LoaderTask("mine", train=train_loader, test=train_loader, classes=2)
    with pytest.raises(InvalidInput, match="batches of 32, the training asks for 128"):
        next(train(build(small_lenet()), [task], TrainConfig(steps=1)))


def test_a_loader_without_batches():
    empty = loader(TRAIN, batch_size=512, drop_last=True)
    task = LoaderTask("mine", train=empty, test=empty, classes=2)
    with pytest.raises(InvalidInput, match="'mine': its loader gives no training batches"):
        next(train(build(small_lenet()), [task], TrainConfig(steps=1)))


@pytest.mark.parametrize(
    ("pair", "classes", "message"),
    [
        ((TRAIN[0], TRAIN[1][:5]), None, "300 inputs and 5 labels"),
        ((TRAIN[0][:0], TRAIN[1][:0]), None, "0 inputs and 0 labels"),
        ((TRAIN[0], TRAIN[1] + 1), 2, "expected labels from 0 to 1"),
        ((TRAIN[0], TRAIN[1] - 1), 2, "expected labels from 0 to 1"),
    ],
)
def test_tensors_that_are_no_task(pair, classes, message):
    with as_users_run_it(), pytest.raises(InvalidInput, match=message):
        TensorTask("mine", train=pair, test=TEST, classes=classes)
