"""BaselineConfig: how a baseline is trained on each of its tasks."""

from dataclasses import dataclass
from typing import get_args

from maskstore.numbers import parse_positive
from maskstore.seeded.streams import parse_seed
from supsup.choices import BaselineOptimizerName
from supsup.training.config import check_one_of, parse_length, set_fields, steps_of

OPTIMIZERS: tuple[str, ...] = get_args(BaselineOptimizerName)

DEFAULT_LR = {"adam": 1e-3, "rmsprop": 1e-4, "sgd": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineConfig:
    """How dense weights are trained on one task after another.

    Attributes:
        steps: optimisation steps a task. Exactly one of ``steps`` and ``epochs`` is given.
        epochs: passes over the training set; the last batch is filled from the next pass.
        batch: images a step.
        optimizer: ``adam``, ``rmsprop`` or ``sgd`` with momentum 0.9, each with PyTorch's other
            defaults; every task begins with a new one.
        lr: learning rate, the same at every step; None takes the optimizer's own (``DEFAULT_LR``).
        seed: of the order of images, of the heads, and of what a method draws.

    Raises:
        InvalidInput: a field cannot be used; the message names it.
    """

    steps: int | None = None
    epochs: int | None = None
    batch: int = 128
    optimizer: str = "adam"
    lr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        set_fields(self, **parse_length(self.steps, self.epochs, self.batch))
        check_one_of("optimizer", self.optimizer, OPTIMIZERS)
        lr = DEFAULT_LR[self.optimizer] if self.lr is None else self.lr
        set_fields(self, lr=parse_positive("lr", lr), seed=parse_seed(self.seed))

    @property
    def rate(self) -> float:
        """``lr`` as the number that it is once the configuration is made."""
        assert self.lr is not None
        return self.lr

    def steps_for(self, train_size: int) -> int:
        """Optimisation steps for a task of that many training images."""
        return steps_of(self.steps, self.epochs, self.batch, train_size)
