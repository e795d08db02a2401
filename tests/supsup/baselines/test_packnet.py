import pytest
import torch
from torch.nn.functional import cross_entropy

from maskstore.errors import InvalidInput
from supsup.baselines import BaselineConfig, PackNet
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import FEW, blobs, small_net, taught

LAYERS = ("fc1.weight", "fc2.weight")
CONFIG = BaselineConfig(steps=12, batch=16, lr=1e-2)


def forward(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for name in LAYERS:
        x = torch.relu(x @ weights[name].T)
    return x @ weights["fc3.weight"].T


def by_hand(baseline: PackNet, tasks, share: float) -> tuple[dict, list[dict]]:
    """As the paper's code does: one set of weights, whose fixed or pruned ones get no gradient.

    Returns the weights at the end, and for every task which of them it took.
    """
    weights = {name: baseline.backbone.weights[name].clone() for name in LAYERS}
    free = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    taken = []
    for task in tasks:
        head = baseline._net.new_head(task.name, task.classes, 0)["fc3.weight"].clone()
        order = batches(0, task.name, task.train_size, CONFIG.batch, task.device)

        def train(open_, steps, head=head, order=order, task=task):
            leaves = [*weights.values(), head]
            for leaf in leaves:
                leaf.requires_grad_()
            optimizer = torch.optim.Adam(leaves, CONFIG.lr)
            for _ in range(steps):
                at = next(order)
                optimizer.zero_grad()
                logits = forward({**weights, "fc3.weight": head}, task.x[at])
                cross_entropy(logits, task.y[at]).backward()
                for name, w in weights.items():
                    w.grad[~open_[name]] = 0
                optimizer.step()
            for leaf in leaves:
                leaf.requires_grad_(False)

        train(free, 9)
        own = {}
        for name, w in weights.items():
            count = min(round(share * w.numel()), int(free[name].sum()))
            sizes = torch.where(free[name], w.abs(), -1.0).flatten()
            own[name] = torch.zeros_like(sizes, dtype=torch.bool)
            own[name][sizes.argsort(descending=True)[:count]] = True
            own[name] = own[name].view(w.shape)
            w[free[name] & ~own[name]] = 0
        train(own, 3)
        free = {name: at & ~own[name] for name, at in free.items()}
        taken.append(own)
    return weights, taken


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_is_training_with_gradients_held_back(share):
    """With 0.4 the third task finds half of what it would take."""
    tasks = blobs(3)
    baseline = PackNet(small_net(), CONFIG, share=share, retrain=0.25)
    for task in tasks:
        baseline.learn(task)
    weights, taken = by_hand(baseline, tasks, share)
    for name in LAYERS:
        torch.testing.assert_close(baseline.trunk[name], weights[name])
        for number, own in enumerate(taken, start=1):
            assert torch.equal(baseline.owner[name] == number, own[name])


def test_answers_with_the_weights_of_its_own_and_earlier_tasks():
    tasks = blobs(3)
    baseline = taught("packnet", tasks)
    for number, task in enumerate(tasks, start=1):
        weights = {
            name: torch.where(
                (baseline.owner[name] >= 1) & (baseline.owner[name] <= number),
                baseline.trunk[name],
                0.0,
            )
            for name in LAYERS
        }
        expected = forward({**weights, **baseline.heads[task.name]}, task.x)
        torch.testing.assert_close(baseline.logits(task.name, task.x), expected)


def test_where_no_weight_is_free_a_head_is_learnt():
    tasks = blobs(3)
    baseline = taught("packnet", tasks[:2], share=0.5)
    full = {name: w.clone() for name, w in baseline.trunk.items()}
    baseline.learn(tasks[2])
    assert all(torch.equal(w, full[name]) for name, w in baseline.trunk.items())
    assert not any(bool((owner == 3).any()) for owner in baseline.owner.values())


@pytest.mark.parametrize("option", ["share", "retrain"])
def test_options_are_checked(option):
    with pytest.raises(InvalidInput, match=rf"{option}: expected a number in \(0, 1\], got 1.5"):
        PackNet(small_net(), FEW, **{option: 1.5})
