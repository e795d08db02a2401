"""Prototypes: whose training images were like these, and where asked what the masks say besides."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from supsup.inference.methods.base import Method
from supsup.inference.methods.shortlist import evidence_on
from supsup.inference.query import Query

_WEIGHT = 5.0
"""Of a unit of the objective beside a unit of log-likelihood, chosen for softened entropy on
held-out training images of SplitMNIST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototypes(Method):
    """The likeliest task by class means of features and their pooled covariance.

    No mask is looked at, unless there is a shortlist: then the evidence of the likeliest tasks is
    log p(x | task) less five times the objective under the task's mask. Of a batch all images
    count alike: their log-likelihoods are added.

    Attributes:
        shortlist: masks tried by themselves; 0 for none.

    Raises:
        InvalidInput: the shortlist is no whole number from 0.
    """

    name: ClassVar[str] = "prototypes"
    shortlist: int = 0

    def __post_init__(self) -> None:
        count = parse_whole("prototypes", self.shortlist, expected="a shortlist from 0", least=0)
        object.__setattr__(self, "shortlist", count)

    def evidence(self, query: Query) -> Float64[np.ndarray, "group task"]:
        known = query.bank.prototypes
        if known is None:
            raise InvalidInput(
                "method prototypes: not every task has prototypes; add them with `supsup-store "
                "prototypes ARCHIVE`, or take another method"
            )
        likelihoods = known.log_likelihoods(query.x)
        if not query.per_image:
            likelihoods = likelihoods.sum(0, keepdims=True)
        count = min(self.shortlist, len(query.bank))
        if not count:
            return likelihoods
        likeliest = np.argpartition(-likelihoods, count - 1, axis=1)[:, :count]
        by_masks = evidence_on(query, np.sort(likeliest, axis=1))
        images = 1 if query.per_image else query.images
        return likelihoods + _WEIGHT * images * by_masks
