"""TrainConfig: how a mask is trained, and the mask rule that it stands for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from maskstore.numbers import parse_positive, parse_real, parse_share, parse_whole
from maskstore.registry import check_one_of
from maskstore.seeded.scores import ScoreStart
from maskstore.seeded.streams import parse_seed
from supsup.choices import (
    OptimizerName,
    OutlierKindName,
    PrecisionName,
    ScheduleName,
    TensorTypeName,
    TransferName,
)
from supsup.masking import RULES
from supsup.masking.base import MaskRule
from supsup.masking.budgets import BUDGETS

OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)
TRANSFERS: tuple[str, ...] = get_args(TransferName)
_OUTLIER_KINDS: tuple[str, ...] = get_args(OutlierKindName)
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
DTYPES: tuple[str, ...] = get_args(TensorTypeName)

DEFAULT_LR = {"adam": 3e-3, "normed-sgd": 5e-5, "rmsprop": 1e-3, "sgd": 2.0}
"""The best cosine rates measured on MNIST (docs/results/mnist-training.md)."""

DEFAULT_OWN_LR = 1e-3

OMITTED: dict[str, Any] = {
    "per_task_lr": None,
    "per_task_dtype": "float32",
    "outlier_kind": "shuffled",
}
"""Fields that are left out of the JSON where they have this value: archives that are older than the
field have none, and a mask's configuration stays the same."""

_OF_RULES = {
    "density": ("topk", "gradual"),
    "budget": ("topk", "gradual"),
    "start_density": ("gradual",),
}
"""Fields that only some rules heed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How the scores behind a mask are trained.

    Attributes:
        steps: optimisation steps a task. Exactly one of ``steps`` and ``epochs`` is given.
        epochs: passes over the training set; the last batch is filled from the next pass.
        rule: ``threshold`` (score >= 0), ``topk`` (largest |score|) or ``gradual`` (largest
            scores, ever fewer), see :mod:`supsup.masking`.
        density: share of weights that ``topk`` and ``gradual`` keep.
        budget: ``uniform`` or ``erdos-renyi``, how they spread it over the layers.
        multiplier: s of the paper's Erdős–Rényi budget, instead of ``density``: under ``topk`` each
            layer keeps min(0.5, s (in + out) / n) of its n weights.
        start_density: share that ``gradual`` keeps at first.
        batch: images a step.
        outliers: how many images of no task join each batch, as a share of it, labelled with
            superfluous outputs (:mod:`supsup.training.outliers`). They make single images of very
            sparse masks tell their task; 0.03 is enough on PermutedMNIST.
        outlier_kind: what they are: images with their numbers ``shuffled``, or ``rotated`` by
            quarters, which takes four outputs a class; or ``gaussian`` draws from what is known of
            other tasks (:mod:`supsup.training.drawn_images`).
        optimizer: ``adam``, ``rmsprop`` or ``sgd``, with PyTorch's other defaults; ``normed-sgd``:
            ``sgd`` on each layer's gradient scaled to root mean square 1, for ``gradual``, whose
            first gradients are far larger than the later ones.
        lr: learning rate at the first step; None takes the optimizer's own (``DEFAULT_LR``).
        schedule: ``constant``, or ``cosine`` from ``lr`` to 0 over the steps of a task.
        momentum: of both kinds of ``sgd``; the others have none to set.
        weight_decay: L2 pull of the scores towards 0.
        seed: of the initial scores and of the order of images.
        shared_scores: whether every task starts from the same scores. Otherwise each task has its
            own, drawn from the seed and its name.
        transfer: what tasks start from: ``none``, the seeded scores; ``masks``, ``scores``, the
            running mean of those of the tasks before (:mod:`supsup.training.transfer`).
        per_task_lr: rate of the parameters that each task has of its own
            (``BackboneRecipe(per_task=…)``), which Adam trains under the same schedule; None for
            1e-3.
        per_task_dtype: the type that they are rounded to when training is done, before they are
            tested and kept: ``float32``, ``float16``, ``bfloat16``, or ``int8``, differences from
            where they started (:func:`supsup.networks.per_task.rounded`).
        precision: of matrix products and convolutions; scores and their updates stay float32.
            ``tf32`` is for CUDA only. Accuracy is measured in docs/results/batched_training.md.

    Raises:
        InvalidInput: a field cannot be used; the message names it.

    >>> TrainConfig(epochs=1).steps_for(train_size=6000)
    47
    >>> TrainConfig(steps=10, optimizer="adam").peak_lr
    0.003
    """

    steps: int | None = None
    epochs: int | None = None
    rule: str = "threshold"
    density: float = 0.5
    budget: str = "uniform"
    multiplier: float | None = None
    start_density: float = 0.2
    batch: int = 128
    outliers: float = 0.0
    outlier_kind: str = "shuffled"
    optimizer: str = "sgd"
    lr: float | None = None
    schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    shared_scores: bool = True
    transfer: str = "none"
    precision: str = "float32"
    per_task_lr: float | None = None
    per_task_dtype: str = "float32"

    def __post_init__(self) -> None:
        set_fields(self, **parse_length(self.steps, self.epochs, self.batch))
        check_one_of("rule", self.rule, RULES)
        check_one_of("optimizer", self.optimizer, OPTIMIZERS)
        check_one_of("schedule", self.schedule, SCHEDULES)
        check_one_of("transfer", self.transfer, TRANSFERS)
        check_one_of("precision", self.precision, PRECISIONS)
        check_one_of("budget", self.budget, BUDGETS)
        check_one_of("outlier_kind", self.outlier_kind, _OUTLIER_KINDS)
        check_one_of("per_task_dtype", self.per_task_dtype, DTYPES)
        if self.per_task_lr is not None:
            set_fields(self, per_task_lr=parse_positive("per_task_lr", self.per_task_lr))
        lr = DEFAULT_LR[self.optimizer] if self.lr is None else self.lr
        set_fields(
            self,
            density=parse_share("density", self.density),
            start_density=parse_share("start_density", self.start_density),
            lr=parse_positive("lr", lr),
            outliers=parse_real(
                "outliers", self.outliers, "a share from 0 to 1", lambda x: 0.0 <= x <= 1.0
            ),
            momentum=parse_real(
                "momentum", self.momentum, "a number in [0, 1)", lambda x: 0.0 <= x < 1.0
            ),
            weight_decay=parse_real(
                "weight_decay", self.weight_decay, "a number from 0", lambda x: 0.0 <= x < math.inf
            ),
            seed=parse_seed(self.seed),
        )
        for field in fields(self):
            rules = _OF_RULES.get(field.name, (self.rule,))
            if self.rule not in rules and (got := getattr(self, field.name)) != field.default:
                raise InvalidInput(
                    f"{field.name}: goes with rule {' or '.join(rules)}; got {got!r} with "
                    f"{self.rule}, which would not heed it"
                )
        if self.multiplier is not None:
            self._check_multiplier()
        if not self.outliers and self.outlier_kind != "shuffled":
            raise InvalidInput(
                f"outlier_kind: {self.outlier_kind!r} says what outliers are, and there are none; "
                "give their share of a batch, too (`--outliers 0.03`)"
            )
        if self.outliers and not self.outliers_a_batch:
            raise InvalidInput(
                f"outliers: {self.outliers:g} of a batch of {self.batch} is less than one image"
            )

    def _check_multiplier(self) -> None:
        set_fields(self, multiplier=parse_positive("multiplier", self.multiplier))
        if self.rule != "topk" or self.budget != "erdos-renyi":
            raise InvalidInput(
                "multiplier: goes with rule topk and budget erdos-renyi, "
                f"got {self.rule} and {self.budget}"
            )
        if self.density != 0.5:
            raise InvalidInput(
                f"density and multiplier: expected one of them, got {self.density:g} "
                f"and {self.multiplier:g}"
            )

    def steps_for(self, train_size: int) -> int:
        """Optimisation steps for a task of that many training images."""
        return steps_of(self.steps, self.epochs, self.batch, train_size)

    @property
    def outliers_a_batch(self) -> int:
        """Outliers that join each batch."""
        return round(self.outliers * self.batch)

    @property
    def peak_lr(self) -> float:
        """``lr`` as the number that it is once the configuration is made."""
        assert self.lr is not None
        return self.lr

    @property
    def own_lr(self) -> float:
        """``per_task_lr`` as a number."""
        return DEFAULT_OWN_LR if self.per_task_lr is None else self.per_task_lr

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of step 0 … steps-1."""
        return scheduled(self.schedule, self.peak_lr, step, steps)

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON; fields of :data:`OMITTED` only where they say something."""
        return {k: v for k, v in asdict(self).items() if k not in OMITTED or v != OMITTED[k]}

    @classmethod
    def from_json(cls, value: object) -> "TrainConfig":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        if not isinstance(value, Mapping):
            raise InvalidInput(f"training configuration: expected an object, got {value!r:.80}")
        unknown = value.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise InvalidInput(
                f"training configuration: field {min(unknown)!r} is unknown to this release"
            )
        rule = value.get("rule", "threshold")
        heeded = {k: v for k, v in value.items() if rule in _OF_RULES.get(k, (rule,))}
        # Older releases let stand what the rule did not heed; a bad value is bad all the same.
        cls(steps=1, rule="gradual", **{k: v for k, v in value.items() if k not in heeded})
        return cls(**heeded)


def scheduled(schedule: str, peak: float, step: int, steps: int) -> float:
    """The learning rate of step 0 … steps-1 under one of :data:`SCHEDULES`."""
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def set_fields(config: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is made."""
    for name, value in values.items():
        object.__setattr__(config, name, value)


def parse_length(steps: object, epochs: object, batch: object) -> dict[str, int | None]:
    """The three as fields; raises InvalidInput unless they say in one way how long training is."""
    if (steps is None) == (epochs is None):
        raise InvalidInput(
            f"steps and epochs: expected exactly one, got steps {steps} and epochs {epochs}"
        )
    given = {"steps": steps, "epochs": epochs}
    length = {name: None if n is None else parse_whole(name, n) for name, n in given.items()}
    return length | {"batch": parse_whole("batch", batch)}


def steps_of(steps: int | None, epochs: int | None, batch: int, train_size: int) -> int:
    """Optimisation steps over that many training images, the last batch a full one."""
    if steps is not None:
        return steps
    assert epochs is not None
    return -(-epochs * train_size // batch)


def start_of(config: TrainConfig, name: str) -> ScoreStart:
    """Where the scores of a task of that name start."""
    stream = "scores" if config.shared_scores else f"scores/{name}"
    return ScoreStart(seed=config.seed, stream=stream)


def rule_of(config: TrainConfig, layout: MaskLayout) -> MaskRule:
    """The mask rule that a configuration names, for one layout."""
    return RULES[config.rule].for_layout(layout, config)
