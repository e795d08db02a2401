"""MaskLearner: one mask of a stream while it can still learn."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from maskstore.layout import sha256_of_bits
from supsup.errors import TrainingDiverged
from supsup.masking.base import MaskRule
from supsup.networks.answer import Answer, kind_of
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.tasks.protocol import TaskData
from supsup.training.buffers import Buffers
from supsup.training.config import TrainConfig, start_of
from supsup.training.fused_updates import update_of
from supsup.training.gradients import Gradients, gradients_of
from supsup.training.metadata import Source, TaskMetadata
from supsup.training.starts import begin, seeded_start
from supsup.training.updates import Update

LEVEL_RATE = 0.1
"""Share of the newest batch in a mask's level: a mean over some ten batches, so that it follows a
loss that still falls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedMask:
    """A mask as it is when the stream leaves it; given again if it learns more later.

    Attributes:
        name: ``nns/0``, ``nns/1``, … in the order of allocation.
        masks: boolean arrays by layer.
        metadata: JSON of a :class:`supsup.training.metadata.TaskMetadata`; metrics are ``level``
            and ``steps``, the task is that of the first source.
        changed: whether a bit differs from when it was given last.
    """

    name: str
    masks: dict[str, Bool[np.ndarray, "..."]]
    metadata: dict[str, Any]
    changed: bool


class MaskLearner:
    """Scores that become a mask, batch by batch, and what is known about it.

    Attributes:
        name: of the mask.
        start: where its scores began.
        steps: batches it has learnt from.
        level: running mean of the loss on them, before each step; NaN before the first.
        sources: how many batches it was given from where. Only for those who evaluate.
        given: sha256 (hex) of the bits that were given last; empty before.
    """

    @plain_modes()
    def __init__(
        self, backbone: Backbone, config: TrainConfig, rule: MaskRule, *, name: str
    ) -> None:
        """A mask that has learnt nothing yet."""
        self.name = name
        self.start = start_of(config, name)
        self.steps = 0
        self.level = math.nan
        self.sources: Counter[str] = Counter()
        self.given = ""
        self._recipes: dict[str, Any] = {}
        self._inputs: Any = None  # of what kind, for what a user's network answers
        self._backbone, self._config, self._rule = backbone, config, rule
        self._low = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        drawn = begin(backbone, rule, [self.start], self._low)
        self._scores: Tensor | None = drawn.scores  # None once finished
        self._active: tuple[Gradients, Update] | None = None  # None while it rests
        self._masks: dict[str, np.ndarray] = {}

    @property
    def finished(self) -> bool:
        """Whether it has had its steps. It does not change any more, and so forgets nothing."""
        return self._scores is None

    @property
    def masks(self) -> dict[str, Bool[np.ndarray, "..."]]:
        """Boolean arrays by layer."""
        if self._scores is None:
            return self._masks
        rule = self._rule.at(self.steps / self._config.steps_for(0))
        return rule.masks(self._backbone.layout.split(self._scores[0]))

    @plain_modes()
    def loss(self, x: Float[Tensor, "batch ..."], y: Int64[Tensor, " batch"]) -> float:
        """Cross-entropy over all outputs, superfluous ones included."""
        if not self._backbone.ships:
            self._inputs = kind_of(x)
        if self._scores is None:
            with torch.no_grad():
                masks = self._backbone.tensors(self._masks)
                return float(F.cross_entropy(self._backbone.logits(x, masks), y))
        if self._active is None:
            buffers = Buffers(
                layout=self._backbone.layout,
                scores=self._scores,
                weights=torch.empty_like(self._scores, dtype=self._low),
                gradient=torch.empty_like(self._scores, dtype=self._low),
            )
            self._active = (
                gradients_of(buffers, self._backbone, [self.start]),
                update_of(buffers, self._backbone, self._rule, self._config),
            )
        return float(self._active[0].losses(x.unsqueeze(0), y.unsqueeze(0), step=self.steps)[0])

    @plain_modes()
    def learn(self, loss: float, source: TaskData | None) -> None:
        """One step down the loss that :meth:`loss` gave last.

        Raises:
            TrainingDiverged: it is not finite.
        """
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"mask {self.name!r}: the loss is {loss} at step {self.steps + 1}; lower the "
                f"learning rate (now {self._config.peak_lr:g}) and check the data for NaN",
                task=self.name,
            )
        if source is not None:
            self.sources[source.name] += 1
            recipe = source.recipe
            self._recipes[source.name] = None if recipe is None else recipe.to_json()
        if self.finished:
            return
        assert self._active is not None
        steps = self._config.steps_for(0)
        self._active[1].step(self._config.lr_at(self.steps, steps), (self.steps + 1) / steps)
        self.steps += 1
        self.level = loss if self.steps == 1 else self.level + LEVEL_RATE * (loss - self.level)
        if self.steps == steps:
            self._masks = self.masks
            self._scores = self._active = None

    def rest(self) -> None:
        """Keep the scores only, until the mask's data returns."""
        self._active = None

    def learned(self) -> LearnedMask:
        """The mask as it is now."""
        bits = sha256_of_bits(self._backbone.layout.pack(self.masks)).hex()
        changed, self.given = bits != self.given, bits
        sources = tuple(
            Source(name=name, task=self._recipes[name], batches=batches)
            for name, batches in self.sources.most_common()
        )
        metadata = TaskMetadata(
            task=sources[0].task if sources else None,
            training=self._config.to_json(),
            scores=seeded_start(self._backbone, self.start),
            metrics={"level": self.level, "steps": self.steps},
            sources=sources,
            answer=self._answer(),
        )
        return LearnedMask(
            name=self.name,
            masks=self.masks,
            metadata=metadata.to_json(),
            changed=changed,
        )

    def _answer(self) -> Answer | None:
        if self._inputs is None:
            return None
        return Answer.of(self._backbone, self._inputs, None, self.masks, {})

    @property
    def scores(self) -> Float32[np.ndarray, " bits"] | None:
        """What it goes on from after a rest; None once finished."""
        return None if self._scores is None else self._scores[0].cpu().numpy()

    def state(self) -> dict[str, Any]:
        """All else, as JSON."""
        return {
            "name": self.name,
            "steps": self.steps,
            "level": self.level,
            "sources": dict(self.sources),
            "recipes": self._recipes,
            "given": self.given,
            "inputs": self._inputs,
        }

    def restore(
        self,
        state: dict[str, Any],
        scores: Float32[np.ndarray, " bits"] | None,
        masks: dict[str, Bool[np.ndarray, "..."]] | None,
    ) -> None:
        """Be what another was that rested.

        Args:
            scores: None for a finished one.
            masks: of a finished one.
        """
        self.steps, self.level, self.given = state["steps"], state["level"], state["given"]
        self._inputs = state.get("inputs")
        self.sources, self._recipes = Counter(state["sources"]), state["recipes"]
        if masks is not None:
            self._masks, self._scores = masks, None
        else:
            assert scores is not None
            assert self._scores is not None
            self._scores.copy_(torch.from_numpy(scores))
