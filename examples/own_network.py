"""Masks over a network and data of your own: a small convolutional net on synthetic images.

The archive keeps how to regenerate the network, so the masks can be used in another process.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from maskstore import MaskArchive, MaskLayout, archive_stats
from supsup import Backbone, TrainConfig, accuracy, train

CPU = torch.device("cpu")


def conv_net() -> nn.Module:
    """16 × 16 grey images to 4 outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 4, bias=False),
    )


@dataclass
class Stripes:
    """Is the image striped along one of two directions? Any object with these members is a task."""

    name: str
    shift: int
    classes: int = 2
    train_size: int = 512
    device: torch.device = CPU
    recipe: None = None

    def _images(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        labels = numbers % 2
        rows = torch.arange(16).view(16, 1) + self.shift
        along = torch.sin(rows * 1.2).expand(16, 16)
        images = torch.where(labels.view(-1, 1, 1).bool(), along, along.T)
        noise = torch.randn(
            len(numbers), 16, 16, generator=torch.Generator().manual_seed(int(numbers.sum()))
        )
        return (images + 0.8 * noise).unsqueeze(1), labels

    def train_batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The training images of those numbers, and their labels."""
        return self._images(indices)

    def test_batches(self, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """All test images, ``size`` at a time."""
        return [self._images(part) for part in torch.arange(10_000, 10_256).split(size)]


def main() -> None:
    """Train two tasks, store their masks, read them back and use them."""
    backbone = Backbone.from_module(conv_net(), seed=1)
    tasks = [Stripes("rows and columns", shift=0), Stripes("shifted", shift=3)]
    path = Path("stripes.h5")
    with MaskArchive.create(
        path, MaskLayout(dict(backbone.layout.shapes)), weights_digest=backbone.digest
    ) as archive:
        for trained in train(backbone, tasks, TrainConfig(steps=60)):
            archive.add(trained.name, trained.masks, {"accuracy": trained.metrics["accuracy"]})
    with MaskArchive.open(path) as archive:
        again = Backbone.from_module(conv_net(), seed=1)
        again.check_digest(archive.weights_digest or "")
        for task in tasks:
            found = accuracy(again, archive.get(task.name), task)
            stored = archive.task(task.name)
            print(f"{task.name}: accuracy {found:.3f}, {stored.bytes} bytes for {stored.bits} bits")
            assert found == stored.metadata["accuracy"]
        print(f"{archive_stats(archive).file_bytes} bytes in all")


if __name__ == "__main__":
    main()
