"""Our baselines beside Avalanche's: the same tensors, networks, starts, optimizers and steps.

    SUPSUP_DATA=DIR OMP_NUM_THREADS=1 python -m benchmarks.peers --seeds 0 1 2

Needs ``avalanche-lib`` 0.6.0, which asks for much: an environment of its own is best.
LeNet-300-100, batches of 128. SplitMNIST: all images, one epoch a task, task-incremental (a head a
task, the task given) and class-incremental (one head over ten classes). PermutedMNIST: three tasks,
12,800 training images, two epochs, task-incremental. Every fifth test image. Kept under ``.cache``.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from benchmarks.results import save_results, study_cache
from supsup import BackboneRecipe, TensorTask, build
from supsup.baselines import BASELINES, BaselineConfig, evaluate_baseline
from supsup.datasets import load
from supsup.evaluation import GG, GNU
from supsup.tasks import make_task, task_family

CACHE = study_cache("peers")
BATCH, MEMORY, STRENGTH = 128, 2000, 1.0
TASKS = {"split-mnist": 5, "permuted-mnist": 3}
EPOCHS = {"split-mnist": 1, "permuted-mnist": 2}
MOST_IMAGES = {"split-mnist": 60_000, "permuted-mnist": 12_800}
RATES = {"lower-bound": ("sgd", 0.01), "ewc": ("sgd", 0.01)}
"""Others: Adam at 1e-3."""

RUNS = [
    ("split-mnist", "task", "lower-bound"),
    ("split-mnist", "task", "ewc"),
    ("split-mnist", "task", "replay"),
    ("split-mnist", "class", "replay"),
    ("split-mnist", "class", "icarl"),
    ("permuted-mnist", "task", "lower-bound"),
    ("permuted-mnist", "task", "ewc"),
    ("permuted-mnist", "task", "replay"),
]
"""Family, what competes, and method."""


def tasks_of(family: str, seed: int) -> list[TensorTask]:
    """The tasks as tensors in memory, so that both read the same."""
    digits = load("mnist", quiet=True)
    made = []
    for recipe in task_family(family, TASKS[family], seed=seed):
        task = make_task(recipe, digits)
        count = min(task.train_size, MOST_IMAGES[family])
        train = task.train_batch(torch.arange(count))
        test = task.test_batch(torch.arange(0, task.test_size, 5))
        made.append(TensorTask(task.name, train=train, test=test, classes=task.classes))
    return made


def ours(tasks: Sequence[TensorTask], kind: str, method: str, epochs: int, seed: int) -> float:
    """Accuracy over all tasks at the end, by :mod:`supsup.baselines`."""
    optimizer, lr = RATES.get(method, ("adam", 1e-3))
    options: dict[str, Any] = {
        "ewc": {"strength": STRENGTH},
        "replay": {"memory": MEMORY, "joint": kind == "class"},
        "icarl": {"memory": MEMORY},
    }.get(method, {})
    config = BaselineConfig(epochs=epochs, batch=BATCH, optimizer=optimizer, lr=lr, seed=seed)
    learner = BASELINES[method](build(_recipe(seed)), config, **options)
    for task in tasks:
        learner.learn(task)
    if kind == "class":
        return evaluate_baseline(learner, tasks, scenario=GNU, method="logits").accuracy
    return evaluate_baseline(learner, tasks, scenario=GG).accuracy


def _recipe(seed: int) -> BackboneRecipe:
    return BackboneRecipe(net="lenet-300-100", outputs=10, seed=seed, init="kaiming-normal")


def theirs(tasks: Sequence[TensorTask], kind: str, method: str, epochs: int, seed: int) -> float:
    """The same by Avalanche's strategies, from the same weights."""
    from avalanche.benchmarks import nc_benchmark, tensors_benchmark
    from avalanche.models import IncrementalClassifier, MultiHeadClassifier, MultiTaskModule
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import EWC, ICaRL, Naive, Replay

    torch.manual_seed(seed)
    by_task = kind == "task"
    data: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "test": []}
    earlier = 0
    for task in tasks:
        for part, pair in (
            ("train", task.train_batch(torch.arange(task.train_size))),
            ("test", task.test_batch(torch.arange(task.test_size))),
        ):
            data[part].append((pair[0], pair[1] + (0 if by_task else earlier)))
        earlier += task.classes
    numbers = list(range(len(tasks))) if by_task else [0] * len(tasks)
    if by_task:
        benchmark = tensors_benchmark(data["train"], data["test"], task_labels=numbers)
    else:  # iCaRL asks for a benchmark of new classes
        order = list(range(earlier))
        both = (_joined(data["train"]), _joined(data["test"]))
        benchmark = nc_benchmark(*both, len(tasks), False, fixed_class_order=order, shuffle=False)
    features = _trunk(seed)
    optimizer_name, lr = RATES.get(method, ("adam", 1e-3))

    class Net(MultiTaskModule):
        """The trunk, and Avalanche's heads over it."""

        def __init__(self) -> None:
            super().__init__()
            self.trunk = features
            self.head = MultiHeadClassifier(100, tasks[0].classes)

        def forward(self, x: Tensor, task_labels: Any) -> Tensor:
            return self.head(self.trunk(x), task_labels)

    # iCaRL copies its network after a task into that of the next, so its head cannot grow.
    one_head = torch.nn.Linear(100, 10) if method == "icarl" else IncrementalClassifier(100, 2)
    model = Net() if by_task else torch.nn.Sequential(features, one_head)

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        if optimizer_name == "sgd":
            return torch.optim.SGD(parameters, lr, momentum=0.9)
        return torch.optim.Adam(parameters, lr)

    how: dict[str, Any] = {
        "optimizer": optimizer(model.parameters()),
        "train_mb_size": BATCH,
        "train_epochs": epochs,
        "evaluator": EvaluationPlugin(),
    }
    loss = torch.nn.CrossEntropyLoss()
    makers: dict[str, Callable[[], Any]] = {
        "lower-bound": lambda: Naive(model=model, criterion=loss, **how),
        # Theirs squares the mean gradient of a batch, about a BATCH-th of the mean of squares.
        "ewc": lambda: EWC(model=model, criterion=loss, ewc_lambda=STRENGTH * BATCH, **how),
        "replay": lambda: Replay(model=model, criterion=loss, mem_size=MEMORY, **how),
        "icarl": lambda: ICaRL(
            feature_extractor=features,
            classifier=one_head,
            memory_size=MEMORY,
            buffer_transform=lambda image: image,
            fixed_memory=True,
            **how,
        ),
    }
    strategy = makers[method]()
    for experience in benchmark.train_stream:
        strategy.train(experience)
    strategy.model.eval()
    found = []
    with torch.no_grad():
        for number, (x, y) in zip(numbers, data["test"], strict=True):
            where = torch.full((len(x),), number, dtype=torch.int64)
            logits = strategy.model(x, where) if by_task else strategy.model(x)
            found.append(float((logits.argmax(1) == y).float().mean()))
    return fmean(found)


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> TensorDataset:
    """All of them as one data set with ``targets``, as Avalanche asks for."""
    images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    made = TensorDataset(images, labels)
    made.targets = labels.tolist()  # type: ignore[attr-defined]
    return made


def _trunk(seed: int) -> torch.nn.Sequential:
    """The layers before the head, at the weights that ours start from."""
    weights = build(_recipe(seed)).weights
    layers: list[torch.nn.Module] = []
    for name in ("fc1.weight", "fc2.weight"):
        width, inputs = weights[name].shape
        layers += [torch.nn.Linear(inputs, width, bias=False), torch.nn.ReLU()]
        layers[-2].load_state_dict({"weight": weights[name].clone()})
    return torch.nn.Sequential(*layers)


def measure(family: str, kind: str, method: str, seed: int) -> dict[str, float]:
    """Accuracy and CPU seconds of both."""
    tasks = tasks_of(family, seed)
    found = {}
    for who, learn in (("ours", ours), ("avalanche", theirs)):
        start = time.process_time()
        found[who] = learn(tasks, kind, method, EPOCHS[family], seed)
        found[f"{who}_cpu_seconds"] = round(time.process_time() - start, 1)
    return found


def main() -> None:
    """What is not measured yet, seed after seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    wanted = parser.parse_args()
    warnings.filterwarnings("ignore")  # theirs are many
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for seed, run in product(wanted.seeds, RUNS):
        asked = {"batch": BATCH, "memory": MEMORY, "strength": STRENGTH, "run": run}
        name = "-".join((*run, str(seed)))
        found = CACHE.cached(name, asked, partial(measure, *run, seed))
        print("done", *run, seed, found, flush=True)
        row = rows.setdefault(run, {"by_seed": {}})
        row["by_seed"][str(seed)] = found
        row |= dict(zip(("family", "kind", "method"), run, strict=True))
        for who in ("ours", "avalanche"):
            each = [one[who] for one in row["by_seed"].values()]
            row |= {who: fmean(each), f"{who}_deviation": pstdev(each)}
        save_results("peers", {"avalanche": "0.6.0", "rows": list(rows.values())}, quiet=True)


if __name__ == "__main__":
    main()
