"""What users bring: their module, weights, images and names, alone and together; and plain PyTorch.

Each :class:`Case` is how one archive is trained. :func:`answers` is what its masks must answer: the
module made by hand, W ⊙ M written into it, the task's tensors in the place of the module's own, on
images that are read and normalised here.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from maskstore import MaskArchive
from supsup import BackboneRecipe, build
from supsup.datasets import load

MODULE = "kitchen_nets"
SOURCE = '''
from torch import nn

def conv(outputs, channels=4):
    """Pictures of 8 × 8 in colour."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * channels, outputs),
    )

def plain(outputs, inputs=784, hidden=3):
    """Few weights, and nothing beside them."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, outputs, bias=False),
    )

def colours(outputs):
    return plain(outputs, inputs=192, hidden=6)
'''
CLASSES = ("apple pie", "börek", "dal", "çay")
"""As they are numbered, in the order of Unicode."""
TRAIN, TEST = 30, 10
STEPS = ("--steps", "12", "--batch", "20", "--optimizer", "adam", "--lr", "0.01")
FOLDER = ("--dataset", "split-folder", "--data", "food")
FOOD = ("split-food/0", "split-food/1")
DIGITS = ("--dataset", "split-mnist-sample", "--tasks", "2")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One archive.

    Attributes:
        net, outputs: as ``--net`` and ``--outputs`` say them.
        options: of the network, beside them.
        data: which tasks.
        names: what the two tasks are called in the end.
        bits_alone: whether its masks have nothing beside them, and few bits.
    """

    net: str
    outputs: int = 4
    options: tuple[str, ...] = ()
    data: tuple[str, ...] = DIGITS
    names: tuple[str, str] = ("split-mnist/0", "split-mnist/1")
    bits_alone: bool = False

    @property
    def network(self) -> tuple[str, ...]:
        return ("--net", self.net, "--outputs", str(self.outputs), *self.options)

    @property
    def trust(self) -> tuple[str, ...]:
        return ("--net", self.net) if ":" in self.net else ()

    @property
    def own_images(self) -> bool:
        return self.data is FOLDER

    @property
    def where(self) -> tuple[str, ...]:
        return ("--data", "food") if self.own_images else ()


CASES = {
    "module": Case(net=f"{MODULE}:plain", bits_alone=True),
    "weights": Case(
        net="lenet-300-100", options=("--weights", "lenet.pt"), data=FOLDER, names=FOOD
    ),
    "data": Case(net="lenet-300-100", data=FOLDER, names=FOOD),
    "names": Case(net="lenet-300-100", data=FOLDER, names=("Zürich / odd", "a b")),
    "module, data": Case(
        net=f"{MODULE}:colours",
        data=FOLDER,
        names=FOOD,
        bits_alone=True,
    ),
    "all": Case(
        net=f"{MODULE}:conv",
        options=("--weights", "conv.pt", "--per-task", "5.*", "--statistics", "running"),
        data=FOLDER,
        names=("sweet & sour", "ünnamed"),
    ),
}


def make_kitchen(folder: Path) -> None:
    """The user's module, weights files and pictures."""
    (folder / f"{MODULE}.py").write_text(SOURCE, "utf-8")
    draw = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("test", TEST)):
        for label, name in enumerate(CLASSES):
            (folder / "food" / part / name).mkdir(parents=True)
            for at in range(count):
                pixels = draw.integers(0, 130, (8, 8, 3))
                pixels[2 * label : 2 * label + 2, :, label % 3] += 110
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / "food" / part / name / f"{at:02}.png")
    torch.manual_seed(1)
    torch.save(module_of(CASES["all"]).state_dict(), folder / "conv.pt")
    torch.save(module_of(CASES["weights"]).state_dict(), folder / "lenet.pt")


def module_of(case: Case) -> nn.Module:
    """The module as its constructor leaves it."""
    module, _, function = case.net.partition(":")
    if function:
        return getattr(sys.modules.get(MODULE) or importlib.import_module(module), function)(4)
    inputs = 192 if case.own_images else 784
    layers = {
        name: nn.Linear(*size, bias=False)
        for name, size in zip(
            ("fc1", "fc2", "fc3"), ((inputs, 300), (300, 100), (100, 4)), strict=True
        )
    }
    return Lenet(layers)


class Lenet(nn.Module):
    """lenet-300-100, written anew."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.fc1(x.flatten(1)))
        return self.fc3(torch.relu(self.fc2(hidden)))


def images_of(case: Case, task: int, part: str = "test") -> tuple[Tensor, Tensor]:
    """Normalised images of a task of two classes and their labels, in order of class and number."""
    if not case.own_images:
        digits = load("mnist-sample")
        pixels, digit = getattr(digits, f"{part}_images"), getattr(digits, f"{part}_labels")
        mine = (digit == 2 * task) | (digit == 2 * task + 1)
        values = (pixels[mine].float() / 255 - digits.mean) / digits.std
        return values.flatten(1), digit[mine].long() - 2 * task
    read = {
        part: np.stack(
            [
                np.stack([pixels_of(file) for file in sorted(folder.iterdir())])
                for folder in sorted(Path("food", part).iterdir())
            ]
        )
        / 255
        for part in ("train", "test")
    }
    train = read["train"].reshape(-1, 3)
    values = (read[part] - train.mean(0).round(4)) / train.std(0).round(4)
    chosen = values[2 * task : 2 * task + 2].reshape(-1, 8, 8, 3).transpose(0, 3, 1, 2)
    labels = np.repeat([0, 1], len(chosen) // 2)
    return torch.from_numpy(chosen.astype(np.float32)), torch.from_numpy(labels)


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def effective(case: Case, archive: MaskArchive, name: str) -> nn.Module:
    """The module of a task: W ⊙ M, and what the task has of its own."""
    recipe = BackboneRecipe.from_json(archive.backbone)
    module = module_of(case)
    if recipe.weights is None:  # what the seed gives, which has a specification of its own
        seeded = build(recipe, allow_code=True).module
        module.load_state_dict(seeded.state_dict())
    else:
        module.load_state_dict(torch.load(case.options[1], weights_only=True))
    state = module.state_dict()
    for layer, mask in archive.get(name).items():
        state[layer] = state[layer] * torch.from_numpy(mask).float()
    for tensor, value in archive.tensors(name).items():
        state[tensor] = torch.from_numpy(np.array(value))
    if case.options[2:3] == ("--per-task",):
        module[5] = nn.Linear(64, len(state["5.bias"]))
    module.load_state_dict(state)
    return module.eval()


def answers(case: Case, path: str | Path, name: str, x: Tensor) -> Tensor:
    """Logits of a task, whose classes are the first two outputs."""
    with MaskArchive.open(path) as archive, torch.no_grad():
        return effective(case, archive, name)(x)


def right_share(case: Case, path: str | Path, task: int) -> float:
    """Accuracy on the test images of a task."""
    x, y = images_of(case, task)
    return float((answers(case, path, case.names[task], x)[:, :2].argmax(1) == y).float().mean())
