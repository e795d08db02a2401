"""Adapters from the seed over trained weights: of each task, a mask over the adapters and a head.

A trunk that is trained once stays as it is. In each block lies an adapter whose weights nobody
stores: they are drawn from the seed, and a task keeps a bit for each of them.
"""

import torch
from torch import Tensor, nn

from supsup import Backbone, SupSup
from supsup.datasets import load
from supsup.tasks import make_task, task_family

WIDTH, RANK = 64, 16


class Block(nn.Module):
    """A trained layer, and beside it an adapter through a bottleneck."""

    def __init__(self, inputs: int) -> None:
        """Make the layers."""
        super().__init__()
        self.layer = nn.Linear(inputs, WIDTH)
        self.down = nn.Linear(inputs, RANK, bias=False)
        self.up = nn.Linear(RANK, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Activations of a batch of rows."""
        return torch.relu(self.layer(x) + self.up(torch.relu(self.down(x))))


class Net(nn.Module):
    """Two blocks and a head."""

    def __init__(self, outputs: int) -> None:
        """Make the layers."""
        super().__init__()
        self.first, self.second = Block(784), Block(WIDTH)
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.head(self.second(self.first(x.flatten(1))))


def train_trunk(net: Net, x: Tensor, y: Tensor) -> None:
    """Train the layers and the head on one task; the adapters are off, and stay untrained."""
    for block in (net.first, net.second):
        nn.init.zeros_(block.up.weight)
    trunk = [weight for name, weight in net.named_parameters() if not is_adapter(name)]
    optimizer = torch.optim.Adam(trunk, 1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def is_adapter(name: str) -> bool:
    """Whether a parameter is an adapter's."""
    return ".down." in name or ".up." in name


def main() -> None:
    """Train a trunk on a task, then masks over seeded adapters on the others."""
    digits = load("mnist-sample")
    first, *others = (make_task(each, digits) for each in task_family("split-mnist-sample"))
    torch.manual_seed(0)
    net = Net(outputs=2)
    train_trunk(net, *first.train_batch(torch.arange(first.train_size)))

    def backbone(net: Net, masks_over: tuple[str, ...]) -> Backbone:
        return Backbone.pretrained(
            net,
            parameters=["*.layer.*", "head.*"],  # the others, the adapters, are from the seed
            seed=1,
            maskable=masks_over,
            per_task=["head.*"],
        )

    over_adapters = backbone(net, ("*.down.weight", "*.up.weight"))
    assert not any(name in over_adapters.trained for name in over_adapters.layout.shapes)
    print(f"{over_adapters.layout.bits:,} bits of {over_adapters.parameter_count:,} weights")
    settings = {"steps": 150, "optimizer": "adam", "lr": 0.003, "per_task_lr": 0.01}
    with SupSup.create("adapters.h5", over_adapters) as model:
        model.train(others, quiet=True, per_task_dtype="int8", **settings)
        for row in model.evaluate(others).per_task:
            stored = model.tasks[row.name]
            beside = sum(each.bytes for each in stored.tensors)
            print(f"{row.name}: {row.accuracy:.3f}, mask {stored.bytes} + head {beside} bytes")
        expected = model.evaluate(others).accuracy
    with SupSup.open("adapters.h5", net) as model:  # the module is handed in again
        assert model.evaluate(others).accuracy == expected > 0.9


if __name__ == "__main__":
    main()
