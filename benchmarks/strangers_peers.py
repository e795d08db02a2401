"""Near strangers by detectors of pytorch-ood: ViM, Mahalanobis, energy and ODIN on a dense network.

    pip install pytorch-ood
    SUPSUP_DATA=DIR python -m benchmarks.strangers_peers [--families split-mnist,…] [--choose]

As :mod:`benchmarks.near_strangers`, each of five two-way tasks is left out in turn; what a user
would do instead of keeping statistics is to train one dense LeNet-300-100 on the classes of the
four others, all their data at hand at once, and hand it to a library of detectors. ``--choose``
prints figures of held-out training images under the seeds 5 and 6 for several settings.
"""

import argparse
import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from benchmarks.near_strangers import CHOSEN_ON, FAMILIES, HELD_OUT, SEEDS, area
from benchmarks.prototypes import summary
from benchmarks.results import save_results, saved_results
from supsup.datasets import load
from supsup.tasks import Task, make_task, task_family

TASKS, STEPS, BATCH, LR = 5, 1000, 128, 1e-3
FITTED = 2_000
"""Training images of a class that detectors are fitted to."""
CHOSEN = {"energy": "", "Mahalanobis": "", "ViM": "d=50", "ODIN": "eps=0.0014"}
SETTINGS = {
    "energy": ("",),
    "Mahalanobis": ("",),
    "ViM": ("d=16", "d=50", "d=80"),
    "ODIN": ("eps=0", "eps=0.0014", "eps=0.05"),
}

Scorer = Callable[[Tensor], Float64[np.ndarray, " image"]]


def main() -> None:
    """Measure and write docs/results/strangers_peers.json; what is not asked for stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--choose", action="store_true", help="print held-out figures alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("pytorch_ood").setLevel(logging.ERROR)
    found = saved_results("strangers_peers").get("families", {})
    for name in options.families.split(","):
        runs = [
            {"seed": seed, **measure(name, seed, options.choose)}
            for seed in (CHOSEN_ON if options.choose else SEEDS)
        ]
        means = {
            score: summary([run[score] for run in runs]) for score in runs[0] if score != "seed"
        }
        print(name, means, flush=True)
        if not options.choose:
            found[name] = {"means": means, "runs": runs}
            about = {"steps": STEPS, "settings": CHOSEN, "families": found}
            save_results("strangers_peers", about, quiet=True)


def measure(name: str, seed: int, choose: bool = False) -> dict[str, float]:
    """Detector → area under the ROC curve, mean over the tasks left out; and accuracy."""
    dataset = load(name.split("-", 1)[1])
    tasks = [make_task(recipe, dataset) for recipe in task_family(name, TASKS, seed)]
    orders = [
        torch.randperm(task.train_size, generator=torch.Generator().manual_seed(seed))
        for task in tasks
    ]
    if choose:
        asked = [
            task.train_batch(order[:HELD_OUT]) for task, order in zip(tasks, orders, strict=True)
        ]
    else:
        asked = [next(iter(task.test_batches(10_000))) for task in tasks]
    rows: list[dict[str, float]] = []
    for left in range(TASKS):
        there = [at for at in range(TASKS) if at != left]
        x, y = joined(tasks, there, [order[HELD_OUT:] for order in orders])
        network = trained(x, y, seed)
        row = {"accuracy": accuracy(network, [asked[at] for at in there])}
        for each, score in detectors(network, x, y, SETTINGS if choose else None).items():
            known = np.concatenate([score(asked[at][0]) for at in there])
            row[each] = area(score(asked[left][0]), known)
        rows.append(row)
    return {each: float(np.mean([row[each] for row in rows])) for each in rows[0]}


def joined(
    tasks: Sequence[Task], there: Sequence[int], orders: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Training images of the tasks that are there, and their classes numbered on."""
    pairs = [tasks[at].train_batch(orders[at]) for at in there]
    labels = [y + 2 * place for place, (_, y) in enumerate(pairs)]
    return torch.cat([x.flatten(1) for x, _ in pairs]), torch.cat(labels)


def trained(x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    """A dense LeNet-300-100 by plain PyTorch; all but its last layer are the features."""
    torch.manual_seed(seed)
    hidden = [nn.Linear(x.shape[1], 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU()]
    network = nn.Sequential(nn.Sequential(*hidden), nn.Linear(100, int(y.max()) + 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    for _ in range(STEPS):
        at = torch.randint(len(x), (BATCH,), dtype=torch.int64, device="cpu")
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[at]), y[at]).backward()
        optimizer.step()
    return network.eval()


def accuracy(network: nn.Sequential, asked: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Of the class among those of all tasks that are there."""
    with torch.no_grad():
        right = [
            (network(x.flatten(1)).argmax(1) == y + 2 * place).float().mean()
            for place, (x, y) in enumerate(asked)
        ]
    return float(np.mean([float(each) for each in right]))


def detectors(
    network: nn.Sequential, x: Tensor, y: Tensor, settings: dict[str, tuple[str, ...]] | None
) -> dict[str, Scorer]:
    """pytorch-ood's, fitted to training images; under each of several settings where given."""
    from pytorch_ood.detector import ODIN, EnergyBased, Mahalanobis, ViM

    features, last = network
    some = torch.cat([torch.nonzero(y == label)[:FITTED, 0] for label in range(int(y.max()) + 1)])
    with torch.no_grad():
        of_some = features(x[some])
    found: dict[str, Scorer] = {}
    for name, each in (settings or {name: (one,) for name, one in CHOSEN.items()}).items():
        for setting in each:
            value = float(setting.partition("=")[2] or 0)
            if name == "ViM":
                detector = ViM(features, d=int(value), w=last.weight, b=last.bias)
                detector.fit_features(of_some, y[some])
            elif name == "Mahalanobis":
                detector = Mahalanobis(features)
                detector.fit_features(of_some, y[some])
            elif name == "ODIN":
                detector = ODIN(network, temperature=1000, eps=value)
            else:
                detector = EnergyBased(network)
            found[f"{name}, {setting}" if settings else name] = scorer(detector.predict)
    return found


def scorer(predict: Callable[[Tensor], Tensor]) -> Scorer:
    """How strange each image is, by a detector."""
    return lambda x: predict(x.flatten(1).clone()).detach().numpy().astype(np.float64)


if __name__ == "__main__":
    main()
