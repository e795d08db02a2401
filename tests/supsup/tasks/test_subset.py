import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.tasks.subset import hold_out, sample_test, subset
from tests.supsup.helpers import Blobs


def whole(task) -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(task.test_batches(50))
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def rows(x: torch.Tensor) -> list[tuple]:
    return sorted(map(tuple, x.tolist()))


def test_a_sample_is_of_the_test_images_with_their_labels():
    task = Blobs()
    x, y = whole(task)
    label = {tuple(image): int(at) for image, at in zip(x.tolist(), y, strict=True)}
    sample = sample_test(task, 40, seed=0)
    drawn, labels = whole(sample)
    assert len(labels) == 40
    assert [label[tuple(image)] for image in drawn.tolist()] == labels.tolist()
    assert len(set(rows(drawn))) == 40
    assert not torch.equal(drawn, x[:40])
    assert drawn.untyped_storage().nbytes() == drawn.nbytes
    assert sample.train_size == task.train_size


def test_samples_are_seeded_and_differ_by_task():
    def at(name: str, seed: int) -> list[int]:
        task = Blobs(name=name)
        task.x = torch.arange(430.0)[:, None]
        return sample_test(task, 30, seed=seed).test_x[:, 0].tolist()

    assert at("blobs/0", 0) == at("blobs/0", 0)
    assert at("blobs/0", 0) != at("blobs/1", 0)
    assert at("blobs/0", 0) != at("blobs/0", 1)


def test_no_more_than_there_are():
    task = Blobs(test=20)
    assert rows(sample_test(task, 1000, seed=0).test_x) == rows(whole(task)[0])
    with pytest.raises(InvalidInput, match="from 1, got 0"):
        sample_test(task, 0, seed=0)


def test_two_halves_are_the_test_set():
    task = Blobs(test=21)
    x, rest = hold_out(task, seed=0)
    assert (len(x), len(rest.test_y)) == (10, 11)
    assert rows(torch.cat([x, rest.test_x])) == rows(whole(task)[0])
    with pytest.raises(InvalidInput, match="1 test images cannot be cut"):
        hold_out(Blobs(test=1), seed=0)


def test_a_subset_has_those_test_images_in_that_order():
    task = Blobs(test=30)
    x, y = whole(task)
    indices = torch.tensor([7, 0, 29, 7])
    part = subset(task, indices)
    assert torch.equal(part.test_x, x[indices])
    assert torch.equal(torch.cat([labels for _, labels in part.test_batches(3)]), y[indices])
    assert [len(labels) for _, labels in part.test_batches(3)] == [3, 1]
    assert (part.name, part.classes, part.train_size) == (task.name, 2, 300)
    assert torch.equal(part.train_batch(torch.arange(4))[0], task.x[:4])
    assert torch.equal(subset(task).test_x, x)


def test_a_subset_of_a_subset_is_one_of_the_task():
    task = Blobs(test=30)
    part = subset(subset(task, torch.arange(10, 20)), torch.tensor([3]))
    assert part.task is task
    assert torch.equal(part.test_x, whole(task)[0][13:14])


@pytest.mark.parametrize("indices", [[], [30], [-1], [0, 31]])
def test_indices_that_no_test_image_has(indices):
    with pytest.raises(InvalidInput, match=r"'blobs/0': expected indices of its 30 test images"):
        subset(Blobs(test=30), torch.tensor(indices, dtype=torch.int64))


def test_a_task_without_test_images():
    task = Blobs()
    task.test_batches = lambda size: []
    for take in (subset, lambda t: hold_out(t, seed=0), lambda t: sample_test(t, 1, seed=0)):
        with pytest.raises(InvalidInput, match="'blobs/0': no test images"):
            take(task)
