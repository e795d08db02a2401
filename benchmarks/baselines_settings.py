"""What the study of baselines runs its methods with, and the grids that it chooses from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from supsup import BackboneRecipe, build
from supsup.baselines import BASELINES, Baseline, BaselineConfig

RECIPE = BackboneRecipe(net="lenet-300-100", outputs=10, init="kaiming-normal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a method is run with: an optimizer, its rate, and options of the method's own."""

    lr: float
    optimizer: str = "adam"
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, method: str, steps: int, tasks: int, seed: int) -> Baseline:
        """The method, having learnt nothing, for so many tasks."""
        name, options = VARIANTS.get(method, (method, {}))
        if name == "packnet":
            options = {"share": 1 / tasks}
        config = BaselineConfig(steps=steps, optimizer=self.optimizer, lr=self.lr, seed=seed)
        net = build(replace(RECIPE, seed=seed))
        return BASELINES[name](net, config, **{**self.options, **options})


def _grid(
    lrs: Sequence[float], optimizer: str = "adam", **options: Sequence[float]
) -> list[Setting]:
    return [
        Setting(lr=lr, optimizer=optimizer, options=dict(zip(options, values, strict=True)))
        for lr in lrs
        for values in product(*options.values())
    ]


GRIDS = {
    "upper-bound": _grid([3e-4, 1e-3, 3e-3, 1e-2]),
    "lower-bound": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2, 3e-2, 3e-3], "sgd"),
    "separate-heads": _grid([1e-3], head_lr=[3e-3, 1e-2, 3e-2, 1e-1]),
    "separate-heads-random": _grid([3e-3, 1e-2, 3e-2, 1e-1]),
    "batche": _grid([3e-4, 1e-3], vector_lr=[1e-2, 3e-2]) + _grid([1e-3], vector_lr=[1e-1, 3e-1]),
    "psp": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2], "sgd"),
    "psp-rotation": _grid([1e-4, 3e-4, 1e-3]) + _grid([1e-2], "sgd"),
    "ewc": _grid([3e-4], strength=[0.3, 3.0, 30.0, 300.0, 3000.0], fisher_images=[100])
    + _grid([1e-3], strength=[3.0], fisher_images=[100])
    + _grid([1e-2], "sgd", strength=[0.3, 1.0, 10.0, 30.0, 100.0], fisher_images=[100]),
    "icarl": _grid([3e-4, 1e-3]),
    "replay": _grid([3e-4, 1e-3]) + _grid([1e-2], "sgd"),
    "packnet": _grid([1e-3, 3e-3, 1e-2]),
    "wsn": _grid([1e-3, 3e-3], density=[0.1, 0.3]),
    "supsup": _grid([1e-3, 3e-3, 1e-2]) + _grid([1.0, 2.0, 5.0, 10.0], "sgd"),
}
"""By Adam, and where tasks move the same weights by SGD, too, which lets less be forgotten."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "replay-joint": ("replay", {"joint": True}),
    "wsn-fresh": ("wsn", {"carry_scores": False}),
}
"""Methods that are run with the settings of another, and options of their own."""

ALONE = (
    "supsup",
    "upper-bound",
    "separate-heads",
    "separate-heads-random",
    "batche",
    "packnet",
    "wsn",
    "replay",
)
"""Methods whose tasks do not disturb those before them, or hardly (``replay``)."""

TRIAL = {"split-mnist": 5, "permuted-mnist": 10, "rotated-mnist": 36}
"""Tasks that a trial has; four of a method's in :data:`ALONE`."""


def trial_tasks(family: str, method: str) -> int:
    """How many tasks a setting of a method is tried on."""
    return 4 if method in ALONE else TRIAL[family]
