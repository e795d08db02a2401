"""Curves of those who are compared: SupSup, which infers the task, and the baselines, told it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from supsup.baselines import BASELINES, BaselineConfig, evaluate_baseline
from supsup.evaluation import GNU, evaluate_inferred
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Trained, Workspace
from supsup.inference import MaskBank
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks.protocol import TaskData

TOLD_THE_TASK = {
    "psp-rotation": ("PSP (GG)", "rmsprop"),
    "batche": ("BatchE (GG)", "adam"),
    "upper-bound": ("upper bound", "rmsprop"),
}
"""Those beside SupSup in scenarios GN: label, and the paper's optimizer, whose rate is 1e-4."""

UPPER_BOUND_OTHER = (
    "each network of the upper bound begins anew, in the paper with the task before it"
)
PSP_OTHER = "PSP's weights begin Kaiming-normal, in the paper's code Xavier-normal"


def inferred(
    trained: Trained, tasks: Sequence[TaskData], *, method: str, objective: str, mode: str = "image"
) -> list[float]:
    """Accuracy on each of those tasks in scenario GNu, inferred among the masks of just them.

    Args:
        tasks: the first ones of those trained.
        method, objective, mode: see :func:`supsup.inference.find_task`.
    """
    bank = MaskBank(
        trained.backbone,
        trained.masks.select(range(len(tasks))),
        classes=max(task.classes for task in tasks),
    )
    found = evaluate_inferred(GNU, bank, tasks, method=method, objective=objective, mode=mode)
    return [row.accuracy for row in found.per_task]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A baseline after some tasks.

    Attributes:
        accuracies: in scenario GG, on each of them.
        bytes: what must be kept.
    """

    accuracies: list[float]
    bytes: int


def baseline(
    name: str,
    tasks: Sequence[TaskData],
    counts: Sequence[int],
    *,
    sizes: Sizes,
    seed: int,
    workspace: Workspace,
    optimizer: str,
    lr: float,
) -> list[Learnt]:
    """A baseline after each of those numbers of tasks, trained or found in the workspace.

    Args:
        optimizer, lr: see :class:`BaselineConfig`.
    """

    def learn() -> list[dict[str, Any]]:
        network = BackboneRecipe(
            net=sizes.net,
            outputs=max(task.classes for task in tasks),
            seed=seed,
            init="kaiming-normal",
            statistics="batch",
        )
        config = BaselineConfig(steps=sizes.steps, optimizer=optimizer, lr=lr, seed=seed)
        learner = BASELINES[name](build(network).to(workspace.device), config)
        found = []
        for done, task in enumerate(tasks, start=1):
            learner.learn(task)
            workspace.report(f"training {name}", done, len(tasks))
            if done in counts:
                after = evaluate_baseline(learner, tasks[:done])
                accuracies = [row.accuracy for row in after.per_task]
                found.append(asdict(Learnt(accuracies=accuracies, bytes=learner.bytes())))
        return found

    settings = sizes.to_json() | {
        "seeds": [seed],
        "outputs": None,
        "counts": list(counts),
        "lr": lr,
    }
    found = workspace.cached(
        f"{sizes.dataset}-{sizes.net}-{name}-{optimizer}-{sizes.steps}-seed{seed}", settings, learn
    )
    return [Learnt(**each) for each in found]
