"""Updates of scores against PyTorch's own optimizers on straight-through masks."""

import pytest
import torch

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded.scores import ScoreStart
from supsup import TrainConfig
from supsup.training.buffers import Buffers
from supsup.training.config import rule_of
from supsup.training.fused_updates import FUSED
from supsup.training.updates import OptimizerUpdate, make_optimizer

LAYOUT = MaskLayout({"a": (5, 7), "b": (4, 3)})
CPU = torch.device("cpu")
MAKE = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


def buffers_of(tasks: int) -> Buffers:
    starts = [ScoreStart(seed=0, stream=f"scores/{at}") for at in range(tasks)]
    return Buffers.draw(LAYOUT, starts, CPU, torch.float32)


class NormedSgd(torch.optim.SGD):
    """The reference: each gradient over its root mean square, then SGD."""

    def step(self) -> None:
        for group in self.param_groups:
            for score in group["params"]:
                score.grad /= score.grad.pow(2).mean().sqrt()
        super().step()


MAKE["normed-sgd"] = NormedSgd


def some_gradients(tasks: int, steps: int) -> torch.Tensor:
    make = torch.Generator().manual_seed(1)
    return torch.randn(steps, tasks, LAYOUT.bits, generator=make)


def frozen() -> torch.Tensor:
    return torch.randn(LAYOUT.bits, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", ["threshold", "topk", "gradual"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "normed-sgd"])
def test_steps_are_those_of_the_optimizer_on_masks_by_autograd(optimizer, rule, decay):
    share = {} if rule == "threshold" else {"density": 0.3}
    config = TrainConfig(
        steps=1, optimizer=optimizer, rule=rule, lr=0.2, weight_decay=decay, **share
    )
    buffers, weights = buffers_of(3), frozen()
    update = OptimizerUpdate(buffers, weights, rule_of(config, LAYOUT), config)
    rates = [0.2, 0.1, 0.3, 0.05]
    gradients = some_gradients(3, len(rates))
    done = [0.1, 0.3, 0.6, 1.0]
    for lr, share, gradient in zip(rates, done, gradients, strict=True):
        buffers.gradient.copy_(gradient)
        update.step(lr, share)
    more = {"momentum": config.momentum} if optimizer.endswith("sgd") else {}
    layers = buffers.layers(weights.unsqueeze(0))
    for task in range(3):
        start = ScoreStart(seed=0, stream=f"scores/{task}").draw(LAYOUT)
        scores = {n: torch.from_numpy(s).clone().requires_grad_() for n, s in start.items()}
        reference = MAKE[optimizer](list(scores.values()), lr=0.2, weight_decay=decay, **more)
        masked = dict.fromkeys(scores, torch.empty(0))
        for lr, share, gradient in zip(rates, [0.0, *done], gradients, strict=False):
            wanted = buffers.layers(gradient)
            now = rule_of(config, LAYOUT).at(share)
            masked = {n: layers[n][0] * now.gain(n) * now.relax(n, s) for n, s in scores.items()}
            reference.zero_grad()
            sum((masked[n] * wanted[n][task]).sum() for n in scores).backward()
            reference.param_groups[0]["lr"] = lr
            reference.step()
        for name, layer in scores.items():
            torch.testing.assert_close(buffers.layers(buffers.scores)[name][task], layer.detach())
            mask = rule_of(config, LAYOUT).select(name, layer.detach())
            expected = layers[name][0] * mask
            assert torch.equal(buffers.layers(buffers.weights)[name][task], expected)


@pytest.mark.parametrize(
    ("optimizer", "momentum", "decay"),
    [
        ("sgd", 0.9, 0.0),
        ("sgd", 0.0, 0.1),
        ("sgd", 0.5, 0.01),
        ("adam", 0.9, 0.0),
        ("adam", 0.9, 0.1),
        ("rmsprop", 0.9, 0.0),
        ("rmsprop", 0.9, 0.1),
    ],
)
def test_the_fused_step_is_that_of_the_optimizer(optimizer, momentum, decay):
    config = TrainConfig(steps=1, optimizer=optimizer, momentum=momentum, weight_decay=decay)
    plain, fused, weights = buffers_of(2), buffers_of(2), frozen()
    updates = (
        OptimizerUpdate(plain, weights, rule_of(config, LAYOUT), config),
        FUSED[optimizer](fused, weights, config),
    )
    assert torch.equal(plain.weights, fused.weights)
    for at, gradient in enumerate(some_gradients(2, 10)):
        for buffers, update in zip((plain, fused), updates, strict=True):
            buffers.gradient.copy_(gradient)
            update.step(0.3 / (at + 1), 0.5)
    torch.testing.assert_close(fused.scores, plain.scores)
    assert torch.equal(fused.weights, plain.weights)
    assert 0 < int((fused.weights == 0).sum()) < fused.weights.numel()


def test_a_layer_without_a_gradient_stays_where_it_is_under_normed_sgd():
    config = TrainConfig(steps=1, optimizer="normed-sgd", rule="gradual", density=0.3)
    buffers = buffers_of(2)
    before = {name: layer.clone() for name, layer in buffers.layers(buffers.scores).items()}
    update = OptimizerUpdate(buffers, frozen(), rule_of(config, LAYOUT), config)
    buffers.gradient.copy_(some_gradients(2, 1)[0])
    buffers.layers(buffers.gradient)["a"][0] = 0
    update.step(0.1, 1.0)
    after = buffers.layers(buffers.scores)
    assert torch.equal(after["a"][0], before["a"][0])
    assert not torch.equal(after["a"][1], before["a"][1])
    assert torch.isfinite(buffers.scores).all()


@pytest.mark.parametrize("name", ["SGD", "adamw", ""])
def test_an_unknown_optimizer_is_none(name):
    with pytest.raises(InvalidInput, match=f"optimizer: expected one of adam, .*, got '{name}'"):
        make_optimizer(name, [torch.zeros(3)], 0.1)
