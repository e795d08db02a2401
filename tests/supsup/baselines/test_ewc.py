import numpy as np
import pytest
import torch
from torch import Tensor

from maskstore.errors import InvalidInput
from supsup.baselines import Ewc
from supsup.baselines.ewc import diagonal_fisher
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import ENOUGH, FEW, blobs, small_net, taught


def outputs(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    hidden = torch.relu(images @ weights["fc1.weight"].T)
    hidden = torch.relu(hidden @ weights["fc2.weight"].T)
    return hidden @ weights["head"].T


def by_hand(weights: dict[str, Tensor], images: Tensor, names: list[str]) -> dict[str, Tensor]:
    """The definition: every image and every label by itself, with autograd."""
    total = {name: torch.zeros_like(weights[name]) for name in names}
    for image in images:
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        log_p = outputs(leaves, image[None])[0].log_softmax(0)
        for label in range(len(log_p)):
            slopes = torch.autograd.grad(
                log_p[label], [leaves[name] for name in names], retain_graph=True
            )
            for name, slope in zip(names, slopes, strict=True):
                total[name] += log_p[label].detach().exp() * slope.square()
    return {name: part / len(images) for name, part in total.items()}


def test_the_information_is_its_definition(monkeypatch):
    monkeypatch.setattr("supsup.baselines.ewc._NUMBERS", 10_000)  # some images at a time
    net, task = small_net(), blobs(1)[0]
    weights = {**net.weights, "head": net.weights["fc3.weight"]}
    names = ["fc1.weight", "fc2.weight"]
    found = diagonal_fisher(
        lambda w, x: outputs({**w, "head": weights["head"]}, x),
        {name: weights[name] for name in names},
        task.x[:25],
    )
    assert list(found) == names
    for name, expected in by_hand(weights, task.x[:25], names).items():
        torch.testing.assert_close(found[name], expected)


def test_the_information_of_logistic_regression_is_known():
    """p (1-p) x², for two classes whose logits are 0 and w·x."""
    w = torch.tensor([0.5, -1.0, 2.0])
    x = blobs(1, pixels=3)[0].x[:50]

    def logits(weights, images):
        z = images @ weights["w"]
        return torch.stack([torch.zeros_like(z), z], 1)

    p = torch.sigmoid(x @ w)
    expected = ((p * (1 - p))[:, None] * x.square()).mean(0)
    torch.testing.assert_close(diagonal_fisher(logits, {"w": w}, x)["w"], expected)


def test_the_one_term_that_is_kept_pulls_like_those_of_all_tasks():
    tasks = blobs(3)
    baseline = Ewc(small_net(), FEW, strength=7.0, fisher_images=20)
    left = []
    for task in tasks:
        baseline.learn(task)
        trunk = {name: w.clone() for name, w in baseline.trunk.items()}
        indices = next(iter(batches(0, task.name, task.train_size, 20, task.device)))
        head = baseline.heads[task.name]["fc3.weight"]
        weights = {**trunk, "head": head}
        left.append((trunk, by_hand(weights, task.x[indices], list(trunk))))
    moved = {
        name: (w + 0.1 * torch.sin(torch.arange(w.numel())).view(w.shape)).requires_grad_()
        for name, w in baseline.trunk.items()
    }
    explicit = sum(
        3.5 * (information[name] * (moved[name] - trunk[name]).square()).sum()
        for trunk, information in left
        for name in moved
    )
    pulls = torch.autograd.grad(explicit, list(moved.values()))
    found = torch.autograd.grad(baseline.penalty(moved), list(moved.values()))
    for one, other in zip(found, pulls, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_without_strength_it_is_the_lower_bound():
    tasks = blobs(3)
    weak, bound = taught("ewc", tasks, strength=1e-30), taught("lower-bound", tasks)
    for task in tasks:
        assert torch.equal(weak.logits(task.name, task.x), bound.logits(task.name, task.x))


def test_strength_holds_the_trunk():
    tasks = blobs(2)

    def way(strength: float) -> float:
        baseline = Ewc(small_net(), ENOUGH, strength=strength)
        baseline.learn(tasks[0])
        before = baseline.trunk
        baseline.learn(tasks[1])
        return sum(float((w - before[n]).square().sum()) for n, w in baseline.trunk.items())

    far, near, nearer = way(1e-3), way(10.0), way(1e5)
    assert nearer < near < far


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.0}, "strength: expected a positive number, got 0.0"),
        ({"fisher_images": 0}, "fisher_images: expected a number from 1, got 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidInput, match=message):
        Ewc(small_net(), FEW, **options)


def test_more_images_than_there_are_is_all_of_them():
    task = blobs(1)[0]
    everything, more = (taught("ewc", [task], fisher_images=n) for n in (300, 10_000))
    for name, information in everything.information.items():
        np.testing.assert_array_equal(information, more.information[name])
