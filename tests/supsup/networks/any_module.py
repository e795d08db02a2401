"""What the product says of a module, and a naive loop that says it again in plain PyTorch.

``python -m tests.supsup.networks.any_module FOLDER`` is the fresh process: it opens the archives of
a folder and leaves what they answer in ``answers.npz``. Without a folder it prints
docs/any-module.md.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskstore import MaskArchive
from maskstore.seeded import streams as seeded
from maskstore.seeded.scores import ScoreStart
from supsup import Backbone, BackboneRecipe, TrainConfig, build
from supsup.archives import backbone_of
from supsup.evaluation.score import accuracy
from supsup.inference import MaskBank, infer_in
from supsup.networks.modes import construction, seeded_generators
from supsup.tasks.order import batches
from tests.supsup.networks import modules
from tests.supsup.networks.modules import TABLE, WORDS

OUTPUTS = 4
CLASSES = 3
BATCH = 8
CONFIG = TrainConfig(steps=4, batch=BATCH, lr=2.0)
METHODS = ("exhaustive", "logits", "one-shot", "binary", "hybrid")
MODES = ("image", "batch")


class Data:
    """A task of random inputs whose labels depend on them."""

    recipe = None
    device = torch.device("cpu")
    classes = CLASSES

    def __init__(self, shape: tuple[int, ...], at: int, *, train: int = 32, test: int = 12) -> None:
        self.name, self.train_size = f"data/{at}", train
        count = train + test
        if shape == modules.TOKENS:
            drawn = seeded.integers(at, "words", (count, *shape), WORDS)
            self.x = torch.from_numpy(drawn)
            numbers = self.x.double().sum(1)
        else:
            drawn = seeded.normal(at, "numbers", (count, *shape), 1.0)
            self.x = torch.from_numpy(drawn)
            numbers = self.x.flatten(1)[:, :5].sum(1).double()
        self.y = torch.bucketize(numbers, numbers.quantile(torch.tensor([1 / 3, 2 / 3]).double()))

    def train_batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[indices], self.y[indices]

    def test_batches(self, size: int):
        x, y = self.x[self.train_size :], self.y[self.train_size :]
        yield from zip(x.split(size), y.split(size), strict=True)

    @property
    def test_x(self) -> Tensor:
        return self.x[self.train_size :]


def recipe_of(name: str) -> BackboneRecipe:
    net = f"{modules.__name__}:{name}"
    return BackboneRecipe(net=net, outputs=OUTPUTS, seed=3, statistics="batch")


def backbone_named(name: str) -> Backbone:
    return build(recipe_of(name), allow_code=True)


def tasks_of(name: str) -> list[Data]:
    return [Data(TABLE[name].shape, at) for at in range(2)]


class Naive:
    """A module as its function makes it, its parameters written over: no part of the product runs
    it, but the weights are the backbone's."""

    def __init__(self, name: str, backbone: Backbone) -> None:
        with construction(0):
            module = getattr(modules, name)(OUTPUTS)
        module = getattr(module, "_orig_mod", module)
        self.module = module.module if isinstance(module, nn.DataParallel) else module
        for part in self.module.modules():
            if isinstance(part, nn.modules.batchnorm._NormBase):  # as docs/any-module.md says
                part.track_running_stats, part.running_mean, part.running_var = False, None, None
        self.parameters = dict(self.module.named_parameters())
        self.shapes = backbone.layout.shapes
        for parameter, (key, value) in zip(
            self.parameters.values(), backbone.module.named_parameters(), strict=True
        ):
            assert self.parameters[key] is parameter
            parameter.data.copy_(value)
        self.weights = {key: self.parameters[key].data.clone() for key in self.shapes}

    def logits(self, x: Tensor, masks, *, training: bool = False) -> Tensor:
        for key, weight in self.weights.items():
            self.parameters[key].data.copy_(weight * masks[key])
        output = self.module.train(training)(x)
        return output["logits"] if isinstance(output, dict) else output

    def gradients(self, value: Tensor) -> dict[str, Tensor]:
        """∂value/∂(W ⊙ M)."""
        for parameter in self.parameters.values():
            parameter.grad = None
        value.backward()
        return {
            key: torch.zeros_like(w) if self.parameters[key].grad is None
            else self.parameters[key].grad.clone()
            for key, w in self.weights.items()
        }  # fmt: skip

    def train(self, task: Data, layout) -> dict[str, np.ndarray]:
        start = ScoreStart(seed=CONFIG.seed, stream="scores")
        scores = {key: torch.from_numpy(each) for key, each in start.draw(layout).items()}
        speed = {key: torch.zeros_like(each) for key, each in scores.items()}
        key = int(seeded.integers(CONFIG.seed, "forward/scores", (1,), 2**63)[0])
        order = batches(CONFIG.seed, task.name, task.train_size, BATCH, task.device)
        for step in range(CONFIG.steps):
            x, y = task.train_batch(next(order))
            masks = {name: (each >= 0).float() for name, each in scores.items()}
            with seeded_generators(torch.device("cpu"), key + step):
                logits = self.logits(x, masks, training=True)
                found = self.gradients(F.cross_entropy(logits, y))
            rate = CONFIG.lr * 0.5 * (1 + math.cos(math.pi * step / CONFIG.steps))
            for name in scores:
                speed[name] = CONFIG.momentum * speed[name] + found[name] * self.weights[name]
                scores[name] = scores[name] - rate * speed[name]
        return {name: (each >= 0).numpy() for name, each in scores.items()}

    @torch.no_grad()
    def accuracy(self, task: Data, masks) -> float:
        x, y = next(task.test_batches(10**6))
        return float((self.answers(x, masks)[:, :CLASSES].argmax(1) == y).float().mean())

    @torch.no_grad()
    def answers(self, x: Tensor, masks) -> Tensor:
        return self.logits(x, {key: torch.from_numpy(each) for key, each in masks.items()})

    def evidence(self, method: str, mode: str, x: Tensor, masks: list) -> np.ndarray:
        if method in ("exhaustive", "hybrid"):
            values = torch.stack([-_entropy(self.answers(x, each)) for each in masks])
        elif method == "logits":
            values = torch.stack([self.answers(x, each)[:, :CLASSES].amax(1) for each in masks])
        else:
            groups = [x] if mode == "batch" else x.split(1)
            return np.stack([self._slopes(group, masks) for group in groups])
        return (values.T if mode == "image" else values.mean(1)[None]).double().numpy()

    def _slopes(self, x: Tensor, masks: list) -> np.ndarray:
        """-∂H/∂α_i at α = 1 / K."""
        mean = {
            key: torch.stack([torch.from_numpy(each[key]).float() for each in masks]).mean(0)
            for key in self.shapes
        }
        found = self.gradients(_entropy(self.logits(x, mean)).mean())
        slopes = [
            sum(
                float((found[key] * self.weights[key] * torch.from_numpy(each[key])).sum())
                for key in self.shapes
            )
            for each in masks
        ]
        return -np.array(slopes)


def _entropy(logits: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=logits).entropy()


def inferred(archive: MaskArchive, backbone: Backbone, x: Tensor) -> dict[str, np.ndarray]:
    """The evidence of every method for every mask."""
    bank = MaskBank(backbone, archive, classes=CLASSES)
    return {
        f"{method}/{mode}": infer_in(
            bank, x, method=method, objective="entropy", mode=mode
        ).evidence
        for method in METHODS
        for mode in MODES
    }


def reopen(folder: Path) -> None:
    """All archives of a folder, in this process."""
    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.h5")):
        name = path.stem
        with MaskArchive.open(path) as archive:
            backbone = backbone_of(archive, trusted_net=recipe_of(name).net)
            for task in tasks_of(name):
                masks = archive.get(task.name)
                found[f"{name}/{task.name}/accuracy"] = np.array(accuracy(backbone, masks, task))
                with torch.no_grad():
                    logits = backbone.logits(task.test_x, backbone.tensors(masks))
                found[f"{name}/{task.name}/logits"] = logits.numpy()
    np.savez(folder / "answers.npz", **found)


RUNNING = ("batch_norm", "batch_norm_bare", "instance_norm_statistics")
"""Rows whose module, as its function makes it, answers by running statistics."""

PAGE = """# Any module

Any `nn.Module` can be a backbone: `build(BackboneRecipe(net="my_module:make_net", outputs=10),
allow_code=True)` or `Backbone.from_module(module, seed=0)`. It is run as it is, with W ⊙ M in the
place of its parameters (all of two axes or more, or those that `maskable` names); these tables are
what the tests try, each against a loop in plain PyTorch. What cannot be done rightly is refused in
one line, before anything is trained or stored.

## What is changed

`backbone.notes` says it of a module, a line each.

- **Parameters** are drawn from the seed, whatever the constructor put there, unless they are from a
  weights file ([trained weights](howto/pretrained.md)). The row of an
  embedding that stands for padding stays 0. Buffers are as the constructor leaves them, and part of
  the digest, as all parameters are.
- **Modes**: training runs the module in training mode, evaluation and inference in evaluation mode.
  A module that draws in its training forward, as dropout does, trains one task at a time, its
  generators set from the seed, the start of the scores and the step, so that `--parallel` changes
  no bit.
- **Batch and instance normalisation** with running statistics: every task has a mean and a variance
  of its own, kept with its mask; over trained weights those of the weights stay, `"frozen"`. With
  `statistics="batch"`, as in the table below, they go by the statistics of the batch, in training
  and in evaluation: an answer then depends on the images beside it, and such a module has no dense
  export ([which to take](statistics.md)).
- **Wrappers** (`DataParallel`, `DistributedDataParallel`, `torch.compile`) are taken off.
- **Several tasks in a step**, on a GPU by default, run through `torch.func.vmap`, as do several
  masks in inference. Before the first training (or the first answer) the module runs once on a few
  test images, both ways; where `vmap` fails or computes something else, tasks and masks take turns,
  with the same result.
- **1×1 convolutions with a stride** and fewer than 16 channels (of a group) have no stride on the
  CPU while gradients are taken: the pixels that it leaves out are left out before them. PyTorch's
  own gradient of their weights is wrong there where the channels of a pixel lie side by side, or
  the process dies (oneDNN issue 6035).
- **Attributes** that a forward assigns are set back after it, so that nothing is carried from task
  to task.
- `module:function` is made twice, under other seeds of PyTorch, NumPy and Python: buffers and
  attributes must be the same, and the answers with equal parameters. A module that is handed to
  `from_module` cannot be made again: it is copied, its buffers are part of the digest, and `notes`
  names tensors in other attributes, which are not.
- **What the digest does not cover**, the code itself and numbers in closures, globals and other
  attributes: with each mask trained over a network of yours, up to eight logits for made-up inputs
  are kept. A network that gives others, because its code was changed since or because it draws such
  numbers anew, is refused when it meets the archive. Differences up to a hundredth of the largest
  logit pass as rounding.

## What is run

| module | trained, evaluated, inferred | several in a step | dense export |
|---|---|---|---|
{right}

## What is refused

| module | when | the line |
|---|---|---|
{refused}
"""


def page() -> str:
    """docs/any-module.md."""
    right = [
        f"| {row.about} | right | {'take turns' if row.in_turn else 'together'}"
        f"{', draws' if row.draws else ''} | {'refused' if name in RUNNING else 'right'} |"
        for name, row in TABLE.items()
        if row.refused is None
    ]
    refused = [
        f"| {row.about} | {row.at} | … {_plain(row.refused)} … |"
        for row in TABLE.values()
        if row.refused is not None
    ]
    return PAGE.format(right="\n".join(right), refused="\n".join(refused))


def _plain(pattern: str) -> str:
    """A pattern as a reader sees it."""
    for written, shown in ((" .*", " … "), (".*", " … "), ("\\", ""), (".LazyL", "(LazyL")):
        pattern = pattern.replace(written, shown)
    return pattern.replace("Linear.:", "Linear):")


if __name__ == "__main__":
    reopen(Path(sys.argv[1])) if sys.argv[1:] else sys.stdout.write(page())
