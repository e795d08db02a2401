import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)

from maskstore.errors import InvalidInput
from supsup import (
    Backbone,
    DatasetTask,
    LoaderTask,
    SupSup,
    TaskData,
    TensorTask,
    TrainConfig,
    build,
    evaluate_gg,
    train,
)
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


class Items(Dataset):
    """Single images, as torchvision's data sets give them."""

    def __init__(self, pair):
        self.x, self.y = pair

    def __len__(self):
        return len(self.y)

    def __getitem__(self, at):
        return self.x[at], int(self.y[at])


def same(found, wanted) -> bool:
    equal = all((found.masks[name] == layer).all() for name, layer in wanted.masks.items())
    return found.metrics == wanted.metrics and equal


@pytest.mark.parametrize(
    "task",
    [
        DatasetTask(BLOBS.name, train=Items(TRAIN), test=Items(TEST), classes=2),
        DatasetTask(BLOBS.name, train=TensorDataset(*TRAIN), test=TensorDataset(*TEST), classes=2),
        TensorTask(
            BLOBS.name,
            train=(TRAIN[0].numpy().astype(">f8"), TRAIN[1][:, None].int()),
            test=(TEST[0].tolist(), TEST[1].tolist()),
        ),
    ],
    ids=["items", "tensor data set", "arrays"],
)
def test_the_same_data_in_other_forms_are_the_same_task(task):
    config = TrainConfig(steps=30)
    (wanted,) = train(build(small_lenet()), [BLOBS], config)
    (found,) = train(build(small_lenet()), [task], config)
    assert same(found, wanted)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"batch_size": 64, "sampler": SubsetRandomSampler(range(128))}, 2),
        ({"batch_size": 64}, 5),
        ({"batch_size": 64, "drop_last": True}, 4),
        ({"batch_sampler": [list(range(64)), list(range(64, 128))]}, 2),
        ({"batch_sampler": BatchSampler(SequentialSampler(range(192)), 64, False)}, 3),
    ],
    ids=["subset", "whole", "rest dropped", "batches listed", "batch sampler"],
)
def test_an_epoch_is_what_the_loader_gives_in_a_pass(options, steps):
    task = LoaderTask("mine", train=loader(TRAIN, **options), test=loader(TEST), classes=2)
    (found,) = train(build(small_lenet()), [task], TrainConfig(epochs=1, batch=64))
    assert found.metrics["steps"] == steps


def test_a_loader_without_a_length_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(*TRAIN, strict=True))

    stream = DataLoader(Stream(), batch_size=64)
    with pytest.raises(InvalidInput, match="'mine': train loader has no length"):
        LoaderTask("mine", train=stream, test=loader(TEST), classes=2)


class Column(Blobs):
    """Labels of shape (n, 1), as a table's column is."""

    def train_batch(self, indices):
        x, y = super().train_batch(indices)
        return x, y[:, None]

    def test_batches(self, size):
        return ((x, y[:, None]) for x, y in super().test_batches(size))


def test_a_column_of_labels_is_labels(unchecked):
    config = TrainConfig(steps=30)
    (wanted,) = train(build(small_lenet()), [BLOBS], config)
    (found,) = train(build(small_lenet()), [Column()], config)
    assert same(found, wanted)
    assert 0 <= evaluate_gg(build(small_lenet()), [(Column(), found.masks)]).accuracy <= 1


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (1, "found 1 to 2 and no 0 .*if they count from 1, subtract 1"),
        (-100, "found -(100|99) at"),
        (9, "found 9 at|found 10 at"),
    ],
)
def test_labels_of_a_custom_task_are_looked_at(shift, message):
    task = Blobs()
    task.y = task.y + shift
    with pytest.raises(InvalidInput, match=message):
        next(train(build(small_lenet()), [task], TrainConfig(steps=3), parallel=1))
    with pytest.raises(InvalidInput, match=message):
        evaluate_gg(build(small_lenet()), [(task, ones())])


def ones():
    shapes = build(small_lenet()).layout.shapes
    return {name: np.ones(shape, bool) for name, shape in shapes.items()}


def test_integers_that_the_network_does_not_take(unchecked):
    task = TensorTask("mine", train=(TRAIN[0].byte(), TRAIN[1]), test=(TEST[0].byte(), TEST[1]))
    with pytest.raises(InvalidInput, match="these are integers: give floats, or say what they"):
        next(train(build(small_lenet()), [task], TrainConfig(steps=3)))


class TwoInputs(nn.Module):
    """Tokens and features, as arguments or by name."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 16)
        self.head = nn.Linear(20 + 16, outputs)

    def forward(self, features, tokens):
        return self.head(torch.cat([features, self.embed(tokens).mean(1)], 1))


@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("by_name", [False, True])
def test_a_network_of_several_inputs(by_name, parallel):
    tokens = (BLOBS.y[:, None] + torch.arange(3)) % 5

    def inputs(part):
        parts = {"features": BLOBS.x[part], "tokens": tokens[part]}
        return parts if by_name else tuple(parts.values())

    train_part, test_part = slice(None, 300), slice(300, None)
    task = TensorTask(
        "mine",
        train=(inputs(train_part), BLOBS.y[train_part]),
        test=(inputs(test_part), BLOBS.y[test_part]),
    )
    backbone = Backbone.from_module(TwoInputs(), seed=0)
    for found in train(backbone, [task, task], TrainConfig(steps=40), parallel=parallel):
        assert found.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("wrapped", [lambda x: (x,), lambda x: {"x": x}, lambda x: (x, x)])
def test_a_net_of_one_tensor_refuses_several(tmp_path, wrapped):
    x, y = wrapped(torch.rand(8, 784)), torch.arange(8) % 2
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=2) as model:
        with pytest.raises(InvalidInput, match="takes one tensor of images, got a"):
            model.train(TensorTask("several", train=(x, y), test=(x, y)), steps=2, quiet=True)
        assert not model.tasks
