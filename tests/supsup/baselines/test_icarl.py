import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup import TensorTask
from supsup.baselines import BaselineConfig, Icarl
from supsup.baselines.icarl import herd
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import ENOUGH, FEW, blobs, small_net, taught


def features_of(baseline: Icarl, images: torch.Tensor) -> np.ndarray:
    x = images.numpy()
    for layer in ("fc1", "fc2"):
        x = np.maximum(x @ baseline.trunk[f"{layer}.weight"].numpy().T, 0)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def herd_by_hand(features: np.ndarray, count: int) -> list[int]:
    """Every candidate's mean written out."""
    goal = unit(features.mean(0))
    chosen: list[int] = []
    for _ in range(count):
        left = [at for at in range(len(features)) if at not in chosen]
        away = [np.linalg.norm(goal - features[[*chosen, at]].mean(0)) for at in left]
        chosen.append(left[int(np.argmin(away))])
    return chosen


def test_herding_is_its_definition():
    features = seeded.normal(0, "features", (40, 6), 1.0) + 0.5
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    for count in (1, 7, 40):
        assert herd(torch.from_numpy(features), count).tolist() == herd_by_hand(features, count)
    assert herd(torch.from_numpy(features), 100).tolist() == herd_by_hand(features, 40)


def test_answers_with_the_nearest_mean_of_exemplars():
    tasks = blobs(3)
    baseline = taught("icarl", tasks[:2], memory=60)
    for task in tasks[:2]:
        baseline.logits(task.name, task.x)  # what is known of a task moves with the next
    baseline.learn(tasks[2])
    for task in tasks:
        means = [unit(features_of(baseline, few).mean(0)) for few in baseline.exemplars[task.name]]
        found = features_of(baseline, task.x)
        squares = ((found[:, None] - np.stack(means)[None]) ** 2).sum(2)
        logits = baseline.logits(task.name, task.x)
        np.testing.assert_allclose(logits, -squares, rtol=1e-3, atol=1e-5)


def test_exemplars_are_those_of_herding_and_stay_within_the_memory():
    tasks = blobs(3)
    baseline = Icarl(small_net(), FEW, memory=50)
    chosen = {}
    for at, task in enumerate(tasks, start=1):
        baseline.learn(task)
        each = 50 // (4 * at)
        x, y = task.x[:300], task.y[:300]
        found = features_of(baseline, x)
        chosen[task.name] = [
            x[y == label][herd_by_hand(found[(y == label).numpy()], each)] for label in range(4)
        ]
        for name, sets in chosen.items():  # those of earlier tasks keep their first ones
            for few, expected in zip(baseline.exemplars[name], sets, strict=True):
                assert torch.equal(few, expected[:each])
                assert few.untyped_storage().nbytes() == 4 * few.numel()  # no more than is counted


def test_the_loss_is_labels_for_new_classes_and_old_answers_for_old():
    """The first step of a second task, on the batch that it sees."""
    first, second = blobs(2)
    config = BaselineConfig(steps=1, batch=64, lr=1e-2)
    baseline = Icarl(small_net(), config, memory=80)
    baseline.learn(first)
    trunk, old_head = dict(baseline.trunk), baseline.head["fc3.weight"].numpy()
    exemplars = torch.cat(baseline.exemplars[first.name])
    count = len(exemplars)
    assert count == 80
    new_head = seeded.normal(0, f"weights/{second.name}/fc3.weight", (4, 10), np.sqrt(2 / 10))

    indices = next(iter(batches(0, second.name, 300 + count, 64, second.device))).numpy()
    images = torch.cat([second.x[:300], exemplars]).numpy()[indices]
    of_old = np.repeat(np.arange(4), [len(few) for few in baseline.exemplars[first.name]])
    labels = np.concatenate([second.y[:300].numpy() + 4, of_old])[indices]
    assert (indices >= 300).any()

    x = images
    for layer in ("fc1", "fc2"):
        x = np.maximum(x @ trunk[f"{layer}.weight"].numpy().T, 0)
    answers = 1 / (1 + np.exp(-x @ np.concatenate([old_head, new_head]).T))
    targets = np.concatenate([answers[:, :4], labels[:, None] == np.arange(4, 8)], axis=1)
    expected = binary_cross_entropy(
        torch.from_numpy(answers).float(), torch.from_numpy(targets).float(), reduction="none"
    )
    assert baseline.learn(second) == pytest.approx(float(expected.sum(1).mean()), rel=1e-4)


def test_the_memory_must_hold_one_image_a_class():
    tasks = blobs(2)
    baseline = Icarl(small_net(), ENOUGH, memory=7)
    baseline.learn(tasks[0])
    with pytest.raises(InvalidInput, match="7 exemplars are fewer than the 8 classes"):
        baseline.learn(tasks[1])
    with pytest.raises(InvalidInput, match="memory: expected a whole number of images from 1"):
        Icarl(small_net(), FEW, memory=0)


def test_a_class_without_images_is_named():
    task = blobs(1)[0]
    some = task.y != 2
    gap = TensorTask("gap", train=(task.x[some], task.y[some]), test=(task.x, task.y))
    with pytest.raises(InvalidInput, match="task 'gap': no training image of class 2"):
        Icarl(small_net(), FEW).learn(gap)
