"""Masks for data of your own: tensors in memory and PyTorch data loaders, with a callback."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from supsup import Backbone, LoaderTask, Progress, TensorTask, TrainConfig, train


def circles(radius: float, seed: int) -> TensorDataset:
    """Is the point inside the circle? 16 random features of it are the input."""
    make = torch.Generator().manual_seed(seed)
    points = torch.randn(600, 2, generator=make)
    features = torch.randn(2, 16, generator=make)
    return TensorDataset(torch.sin(points @ features), (points.norm(dim=1) < radius).long())


def show(progress: Progress) -> None:
    """Called every few steps of every task."""
    if progress.step == progress.steps:
        print(f"{progress.name}: loss {progress.loss:.3f} after {progress.steps} steps")


def main() -> None:
    """Train one mask over tensors and one over loaders, both over the same frozen network."""
    network = nn.Sequential(nn.Linear(16, 64, bias=False), nn.ReLU(), nn.Linear(64, 2, bias=False))
    backbone = Backbone.from_module(network, seed=0)

    x, y = circles(1.0, seed=1).tensors
    first = TensorTask("small circle", train=(x[:500], y[:500]), test=(x[500:], y[500:]))

    shown, held_out = torch.utils.data.random_split(circles(1.5, seed=2), [500, 100])
    second = LoaderTask(
        "large circle",
        train=DataLoader(shown, batch_size=64, shuffle=True),
        test=DataLoader(held_out, batch_size=64),
        classes=2,
    )
    for mask in train(backbone, [first, second], TrainConfig(steps=100, batch=64), progress=show):
        print(f"{mask.name}: accuracy {mask.metrics['accuracy']:.2f}")


if __name__ == "__main__":
    main()
