"""Query: one question to a bank of masks, whose data these are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from supsup.inference.bank import MaskBank
from supsup.inference.objectives import Objective
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import count_of, split_inputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What a method weighs masks by.

    Attributes:
        bank: the masks and their network.
        x: images, on the network's device: one tensor, or as many as the network takes.
        objective: low where a mask is sure of its answer.
        per_image: whether each image is a group of its own; else the batch is the one group.
    """

    bank: MaskBank
    x: Inputs
    objective: Objective
    per_image: bool

    @property
    def images(self) -> int:
        """How many there are."""
        return count_of(self.x)

    def values(
        self,
        logits: Float[Tensor, "*batch outputs"],
        masks: Int64[np.ndarray, " task"] | None = None,
    ) -> Float[Tensor, "*batch"]:
        """The objective of each image, with the bank's classes.

        Args:
            masks: which mask each row of logits is of; None for those of a superposition. Where
                tasks differ in their number of classes, each is looked at over its own.

        Raises:
            InvalidInput: the objective has no meaning for so many outputs, or there are fewer
                outputs than classes.
        """
        outputs = logits.shape[-1]
        classes, counts = self.bank.class_count(outputs), self.bank.class_counts
        self.objective.check(outputs, classes)
        if counts is None:
            return self.objective(logits, classes)
        assert masks is not None  # a superposition of such tasks is refused
        values = logits.new_empty(logits.shape[:-1])
        for count in np.unique(counts[masks]):
            rows = torch.from_numpy(np.flatnonzero(counts[masks] == count)).to(logits.device)
            values[rows] = self.objective(logits[rows], int(count), relative=True)
        return values

    def by_group(
        self, values: Float64[np.ndarray, "task batch"]
    ) -> Float64[np.ndarray, "group task"]:
        """Figures of each image under each mask as those of its group, the mean over its images."""
        return values.T if self.per_image else values.mean(1)[None]

    def groups(self) -> "Iterator[Query]":
        """Each group as a query of its own."""
        images = split_inputs(self.x, 1) if self.per_image else [self.x]
        return (replace(self, x=each, per_image=False) for each in images)
