"""Tasks that are alike: which outliers make masks doubt each other's images?

    SUPSUP_DATA=DIR python -m benchmarks.outlier_kinds [--families split-mnist,…] [--kinds none …]

Masks are trained without outliers, with shuffled, rotated and gaussian ones: the last drawn from
prototypes of all other tasks, which the archive of the first training keeps, or of the tasks before
alone, as they are when tasks come one after another. Then every mask is tried on single test
images, and beside prototypes of 248 and of 1,000 features. The share of outliers was chosen on
held-out training images under the seeds 5 and 6.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.prototypes import summary
from benchmarks.results import save_results, saved_results
from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, train_into
from supsup.datasets import load
from supsup.inference.bank import MaskBank
from supsup.inference.find_task import infer_in
from supsup.inference.methods import Exhaustive, Method, Prototypes
from supsup.inference.objectives import Energy, Entropy, Objective
from supsup.inference.prototypes import FeatureRecipe, add_prototypes
from supsup.networks.backbone import Backbone
from supsup.tasks import Task, make_task, task_family

SEEDS, STEPS, SHARE, FEW = (11, 12, 13), 400, 0.1, 5
FAMILIES = {
    "split-mnist": (5, {}, 10, 1),
    "split-fashion-mnist": (5, {}, 10, 1),
    "rotated-mnist": (12, {"degrees": 30}, 100, 20),
}
"""Family → tasks, options, outputs, and one test image in so many that is asked for. Many tasks are
not measured again beside the masks, nor trained one after another."""
MORE = 1_000
"""Features of the prototypes that masks trained with gaussian outliers are tried beside, too."""
KINDS = ("none", "shuffled", "rotated", "gaussian", "gaussian, of tasks before")
WAYS: dict[str, tuple[Method, Objective]] = {
    "entropy": (Exhaustive(), Entropy(temperature=1.5)),
    "energy": (Exhaustive(), Energy()),
    "prototypes": (Prototypes(), Entropy(temperature=1.5)),
    "prototypes and masks": (Prototypes(shortlist=5), Entropy(temperature=1.5)),
}
PROTOTYPES = {name: way for name, way in WAYS.items() if isinstance(way[0], Prototypes)}


def main() -> None:
    """Measure and write docs/results/outlier_kinds.json, seed by seed; what is not asked for
    stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="these alone, and none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = saved_results("outlier_kinds").get("families", {})
    for name in options.families.split(","):
        count, about, outputs, every = FAMILIES[name]
        before = {run["seed"]: run["kinds"] for run in found.get(name, {}).get("runs", [])}
        runs: list[dict[str, Any]] = []
        for seed in SEEDS:
            recipes = task_family(name, count, seed, about)
            tasks = [make_task(recipe, load(name.split("-", 1)[1])) for recipe in recipes]
            backbone = build(BackboneRecipe(net="lenet-300-100", outputs=outputs, seed=seed))
            kinds = measure(tasks, backbone, seed, every, options.kinds or KINDS)
            kept = before.get(seed, {}) if options.kinds else {}
            runs.append({"seed": seed, "kinds": kept | kinds})
            means = {
                kind: {
                    figure: summary([run["kinds"][kind][figure] for run in runs])
                    for figure in runs[0]["kinds"][kind]
                }
                for kind in runs[0]["kinds"]
            }
            found[name] = {"tasks": count, "outputs": outputs, "means": means, "runs": runs}
            document = {"steps": STEPS, "share": SHARE, "families": found}
            save_results("outlier_kinds", document, quiet=True)
            print(name, seed, runs[-1], flush=True)


def measure(
    tasks: Sequence[Task],
    backbone: Backbone,
    seed: int,
    every: int,
    kinds: Sequence[str] = KINDS,
) -> dict[str, dict[str, float]]:
    """Kind of outliers → accuracy with the task given, and by each way task found and accuracy."""
    plain = TrainConfig(steps=STEPS, seed=seed)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "none.h5"
        for kind in KINDS[: None if len(tasks) <= FEW else -1]:
            if kind not in ("none", *kinds):
                continue
            path = Path(folder) / f"{kind.replace(', ', '-').replace(' ', '-')}.h5"
            name = kind.partition(",")[0]
            config = (
                TrainConfig(steps=STEPS, seed=seed, outliers=SHARE, outlier_kind=name)
                if kind != "none"
                else plain
            )
            with create_archive(path, backbone) as archive:
                if kind == KINDS[-1]:
                    one_after_another(archive, backbone, tasks, plain, config)
                elif kind == "gaussian":
                    with MaskArchive.open(first) as source:
                        train_into(
                            archive, backbone, tasks, config, codec="fast", outliers_from=source
                        )
                else:
                    train_into(archive, backbone, tasks, config, codec="fast")
                if kind == "none" or (kind == "gaussian" and len(tasks) <= FEW):
                    add_prototypes(archive, backbone, tasks)
                bank = bank_of(archive, backbone)
                rows[kind] = {"given": given(archive)} | asked(bank, tasks, every)
                if kind == "gaussian" and bank.prototypes is not None:
                    recipe = FeatureRecipe(size=MORE, seed=seed)
                    add_prototypes(archive, backbone, tasks, recipe, rebuild=True)
                    more = asked(bank_of(archive, backbone), tasks, every, PROTOTYPES)
                    rows[kind] |= {f"{MORE}: {figure}": share for figure, share in more.items()}
    return rows


def one_after_another(
    archive: MaskArchive,
    backbone: Backbone,
    tasks: Sequence[Task],
    plain: TrainConfig,
    config: TrainConfig,
) -> None:
    """Each task with outliers drawn from the prototypes of those before it."""
    for at, task in enumerate(tasks):
        train_into(archive, backbone, [task], config if at else plain, codec="fast")
        add_prototypes(archive, backbone, [task])


def given(archive: MaskArchive) -> float:
    """Accuracy on the test sets with the task given."""
    return float(np.mean([stored.metadata["metrics"]["accuracy"] for stored in archive]))


def asked(
    bank: MaskBank,
    tasks: Sequence[Task],
    every: int,
    ways: Mapping[str, tuple[Method, Objective]] = WAYS,
) -> dict[str, float]:
    """Of single test images, those whose task was found, and those whose class besides."""
    found: dict[str, float] = {}
    for name, (method, objective) in ways.items():
        if bank.prototypes is None and isinstance(method, Prototypes):
            continue
        right, both, seen = 0, 0, 0
        for at, task in enumerate(tasks):
            for x, y in task.test_batches(2000):
                images, labels = x[::every], y[::every]
                answer = infer_in(bank, images, method=method, objective=objective)
                own = answer.tasks == at
                right += int(own.sum())
                both += int((own & (answer.predictions == labels.numpy())).sum())
                seen += len(labels)
        found |= {f"{name}: task found": right / seen, f"{name}: accuracy": both / seen}
    return found


if __name__ == "__main__":
    main()
