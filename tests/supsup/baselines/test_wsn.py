import pytest
import torch
from torch.nn.functional import cross_entropy

from maskstore.errors import InvalidInput
from maskstore.seeded import streams as seeded
from supsup.baselines import BaselineConfig, Wsn
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import FEW, blobs, small_net, taught

LAYERS = ("fc1.weight", "fc2.weight")
CONFIG = BaselineConfig(steps=12, batch=16, lr=1e-2)


def top(scores: torch.Tensor, density: float) -> torch.Tensor:
    flat = scores.abs().flatten()
    mask = torch.zeros_like(flat)
    mask[flat.argsort(descending=True)[: round(density * len(flat))]] = 1
    return mask.view(scores.shape)


def by_hand(baseline: Wsn, tasks, density: float, carry: bool) -> tuple[dict, list[dict]]:
    """Algorithm 1 of the paper, gradients by the chain rule: weights at the end, and all masks."""
    weights = {name: baseline.backbone.weights[name].clone() for name in LAYERS}
    start = {
        name: torch.from_numpy(
            seeded.uniform(
                0, f"wsn/{name}", tuple(w.shape), -(w.shape[1] ** -0.5), w.shape[1] ** -0.5
            )
        )
        for name, w in weights.items()
    }
    scores = {name: s.clone() for name, s in start.items()}
    used = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in weights.items()}
    kept = []
    for task in tasks:
        if not carry:
            scores = {name: s.clone() for name, s in start.items()}
        head = baseline._net.new_head(task.name, task.classes, 0)["fc3.weight"].clone()
        leaves = [*weights.values(), *scores.values(), head]
        optimizer = torch.optim.Adam(leaves, CONFIG.lr)
        order = batches(0, task.name, task.train_size, CONFIG.batch, task.device)
        for _ in range(CONFIG.steps):
            at = next(order)
            masks = {name: top(s, density) for name, s in scores.items()}
            products = {n: (weights[n] * masks[n]).requires_grad_() for n in LAYERS}
            last = head.clone().requires_grad_()
            x = task.x[at]
            for name in LAYERS:
                x = torch.relu(x @ products[name].T)
            cross_entropy(x @ last.T, task.y[at]).backward()
            head.grad = last.grad
            for name in LAYERS:
                slope = products[name].grad
                weights[name].grad = slope * masks[name] * ~used[name]
                scores[name].grad = slope * weights[name] * scores[name].sign()
            optimizer.step()
        kept.append({name: top(s, density).bool() for name, s in scores.items()})
        used = {name: used[name] | kept[-1][name] for name in LAYERS}
    return weights, kept


@pytest.mark.parametrize("carry", [True, False])
def test_is_the_algorithm_of_the_paper(carry):
    tasks = blobs(3)
    baseline = Wsn(small_net(), CONFIG, density=0.3, carry_scores=carry)
    for task in tasks:
        baseline.learn(task)
    weights, masks = by_hand(baseline, tasks, 0.3, carry)
    for name in LAYERS:
        torch.testing.assert_close(baseline.trunk[name], weights[name])
        for task, own in zip(tasks, masks, strict=True):
            assert torch.equal(baseline.mask(task.name)[name], own[name])


def test_later_masks_take_up_what_earlier_ones_froze():
    tasks = blobs(3)
    baseline = taught("wsn", tasks, density=0.5)
    one, other = (baseline.mask(task.name).values() for task in tasks[:2])
    both = [a & b for a, b in zip(one, other, strict=True)]
    assert all(bool(shared.any()) for shared in both)
    for name, used in baseline.used.items():
        masks = [baseline.mask(task.name)[name] for task in tasks]
        assert torch.equal(used, torch.stack(masks).any(0))


@pytest.mark.parametrize("carry", [True, False])
def test_bytes_are_weights_heads_coded_masks_and_scores_that_no_seed_gives_back(carry):
    tasks = blobs(2)
    baseline = taught("wsn", tasks, carry_scores=carry)
    numbers = 20 * 30 + 30 * 10
    masks = sum(len(coded) for coded in baseline.masks.values())
    assert 2 * numbers / 8 * 0.85 < masks < 2 * (numbers / 8 + 16)  # H(0.3) is 0.88 bit
    assert baseline.bytes() == 4 * numbers * (1 + carry) + 2 * 4 * 40 + masks


def test_the_density_is_checked():
    with pytest.raises(InvalidInput, match=r"density: expected a number in \(0, 1\], got 0"):
        Wsn(small_net(), FEW, density=0)
