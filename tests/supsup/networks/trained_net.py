"""A tiny network that a test trains itself, as a user would, and saves both ways."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.supsup.helpers import Blobs

NET = "tests.supsup.networks.trained_net:make_net"


class TrainedNet(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(20, 16)
        self.second = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def make_net(outputs: int) -> nn.Module:
    return TrainedNet(outputs)


def make_normed(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def train_net(folder: Path, outputs: int = 4) -> TrainedNet:
    """Trained on a first task; ``net.pt``, ``net.safetensors`` and a ``checkpoint.pt`` of it."""
    torch.manual_seed(0)
    net, task = TrainedNet(outputs), Blobs(name="first", classes=outputs)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(net(task.x[: task.train_size]), task.y[: task.train_size]).backward()
        optimizer.step()
    state = {name: value.detach().clone() for name, value in net.state_dict().items()}
    torch.save(state, folder / "net.pt")
    save_file(state, folder / "net.safetensors")
    parallel = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": parallel, "epoch": 3}, folder / "checkpoint.pt")
    return net
