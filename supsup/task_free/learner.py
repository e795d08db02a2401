"""Learner: from a stream of batches to masks, one for every task that it finds in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from maskstore.packed import PackedMasks
from supsup.inference import MaskBank
from supsup.networks.backbone import Backbone
from supsup.networks.statistics import check_masks_suffice
from supsup.task_free.allocation import Allocation, Level, Verdict
from supsup.task_free.mask_learner import LearnedMask, MaskLearner
from supsup.task_free.stream import StreamBatch
from supsup.training.config import TrainConfig, rule_of


@dataclass(slots=True, kw_only=True)
class Report:
    """What a learner has seen and done so far.

    Attributes:
        batches: of the stream.
        judged: batches for which all masks were consulted.
        allocated: masks made.
        switches: times that the stream was found to have gone on to another mask.
        skipped: batches that suited no mask and were not confirmed by those after them: outliers.
            No mask has learnt from them.
        refused: decisions for a new mask that the budget did not allow.
    """

    batches: int = 0
    judged: int = 0
    allocated: int = 0
    switches: int = 0
    skipped: int = 0
    refused: int = 0

    def to_json(self) -> dict[str, int]:
        """The report as JSON."""
        return asdict(self)


class Learner:
    """Scenario NNs (paper, section 3.4). The state is that of one stream.

    Every ``every`` batches, and whenever a batch surprises the mask in training, the allocation
    rule says whose the batch is. A verdict against the mask in training is followed once
    ``confirm`` batches in a row agree on it; meanwhile they are held, and if the next batch does
    not agree they are skipped: a burst of fewer outliers than ``confirm`` makes no mask and spoils
    none. With the budget spent the best mask there is takes the place of a new one; it learns from
    the strange data only while it has steps left, so finished masks forget nothing.

    Masks that have had all their steps cost their bits; others keep their scores in memory, too.

    Attributes:
        backbone: the network that its masks are for.
        report: what happened so far.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: TrainConfig,
        *,
        classes: int,
        allocation: Allocation | None = None,
        every: int = 100,
        confirm: int | None = None,
        budget: int | None = None,
    ) -> None:
        """A learner without a mask.

        Args:
            config: of each mask; ``steps`` is the most batches that one learns from.
            classes: number of labels, the same for all tasks.
            allocation: None for :class:`Level`.
            every: batches from one regular decision to the next.
            confirm: batches in a row that must agree; None for the rule's own.
            budget: most masks; None for no limit.

        Raises:
            InvalidInput: a number below 1, or a configuration by epochs or with outliers: a stream
                has none.
        """
        allocation = Level() if allocation is None else allocation
        every = parse_whole("every", every)
        confirm = parse_whole("confirm", allocation.confirm if confirm is None else confirm)
        budget = None if budget is None else parse_whole("budget", budget)
        check_masks_suffice(backbone, "learning without task identities")
        if config.steps is None:
            raise InvalidInput("a stream has no epochs: give the steps of a mask")
        if config.outliers:
            raise InvalidInput("outliers: a stream is learnt without them")
        self.report = Report()
        self.backbone, self._config, self._classes = backbone, config, classes
        self._rule = rule_of(config, backbone.layout)
        self._allocation = allocation
        allocation.begin(backbone, classes)
        self._every, self._confirm, self._budget = every, confirm, budget
        self._trainees: list[MaskLearner] = []
        self._bank: MaskBank | None = None
        self._current = 0
        self._stale = False  # the bank's row of the current mask is not what it has learnt since
        self._unsaved = False  # nor is what was given out last
        self._since = 0  # batches since the last decision
        self._tolerant = (
            False  # the budget is spent: surprises call for no decision before it is due
        )
        self._held: list[StreamBatch] = []
        self._wanted = 0  # where all held batches should go; the number of masks for a new one
        self._before = 0  # batches of the stream that a restored learner has seen
        self._to_hold = 0  # and how many of them, the last, it held
        self._moment: dict[str, Any] | None = self._now()  # see state()

    def learn(self, stream: Iterable[StreamBatch]) -> Iterator[LearnedMask]:
        """Learn from batches; gives each mask when the stream leaves it or it has had its steps.

        A learner that was restored takes the stream from its beginning and goes to its place.

        Raises:
            TrainingDiverged: a loss is not finite.
        """
        rest = iter(stream)
        for _ in islice(rest, self._before - self._to_hold):
            pass
        self._held = list(islice(rest, self._to_hold))
        for batch in rest:
            self._moment = self._now()
            self.report.batches += 1
            self._since += 1
            loss = self._loss(batch) if self._trainees else None
            if loss is None or self._held or self._due(loss):
                verdict = self._judge(batch)
                wanted = self._place(verdict)
                if loss is None or wanted != self._current:
                    yield from self._hold(batch, wanted, verdict)
                    continue
                self._since = 0
            self._skip()
            self._moment = self._now()
            yield from self._teach(batch, loss)
        self._skip()
        yield from self._give()

    def state(self) -> dict[str, Any] | None:
        """All that decides what it does next, as JSON, at the beginning or when it has just given a
        mask.

        That is the state before the batch that led away from the mask, or after the one that was
        its last step: at either the mask in training needs no more than its scores. None where
        batches that it held are being taught.
        """
        if self._moment is None:
            return None
        return self._moment | {
            "current": self._current,
            "masks": [trainee.state() for trainee in self._trainees],
        }

    def scores(self) -> list[Float32[np.ndarray, " bits"] | None]:
        """The scores of every mask that :meth:`state` lists; None for finished ones."""
        return [trainee.scores for trainee in self._trainees]

    @property
    def allocation(self) -> Allocation:
        """Who decides; what it knows is part of what the learner does next."""
        return self._allocation

    def restore(
        self,
        state: Mapping[str, Any],
        scores: Mapping[str, Float32[np.ndarray, " bits"]],
        masks: Mapping[str, dict[str, Bool[np.ndarray, "..."]]],
    ) -> None:
        """Make a new learner what another was.

        Args:
            scores: by name, of masks that can still learn.
            masks: by name, of finished ones.
        """
        for each in state["masks"]:
            made = MaskLearner(self.backbone, self._config, self._rule, name=each["name"])
            made.restore(each, scores.get(made.name), masks.get(made.name))
            self._add(made)
        self.report = Report(**state["report"])
        self._current, self._wanted = state["current"], state["wanted"]
        self._since, self._tolerant = state["since"], state["tolerant"]
        self._before, self._to_hold = self.report.batches, state["held"]

    def _now(self) -> dict[str, Any]:
        return {
            "report": self.report.to_json(),
            "since": self._since,
            "tolerant": self._tolerant,
            "held": len(self._held),
            "wanted": self._wanted,
        }

    def _due(self, loss: float) -> bool:
        if self._since >= self._every:
            return True
        level = self._trainees[self._current].level
        return not self._tolerant and self._allocation.doubts(loss, level, self._classes)

    def _judge(self, batch: StreamBatch) -> Verdict:
        self.report.judged += 1
        self._tolerant = False
        if self._bank is None:
            return Verdict(mask=0, known=False)
        if self._stale:
            masks = self._trainees[self._current].masks
            self._bank.replace(self._current, self.backbone.layout.pack(masks))
            self._stale = False
        levels = np.array([trainee.level for trainee in self._trainees])
        return self._allocation.judge(self._bank, levels, *self._data(batch))

    def _place(self, verdict: Verdict) -> int:
        if verdict.known or not self._trainees:
            return verdict.mask
        current = self._trainees[self._current]
        # One new mask at a time: what the current one does not know it may be about to learn.
        ripe = current.finished or self._allocation.ripe(current.level, self._classes)
        return len(self._trainees) if ripe else self._current

    def _hold(self, batch: StreamBatch, wanted: int, verdict: Verdict) -> Iterator[LearnedMask]:
        """Keep the batch until enough agree with it; then go where they want."""
        if wanted != self._wanted:
            self._skip()
        self._held.append(batch)
        self._wanted = wanted
        if len(self._held) < self._confirm:
            return
        if wanted == len(self._trainees) and wanted == self._budget:
            self.report.refused += 1
            self._tolerant = True
            wanted = verdict.mask
        if wanted != self._current:
            yield from self._give()
            self.report.switches += 1
            self._trainees[self._current].rest()
        self._moment = None  # until all held batches are taught
        if wanted == len(self._trainees):
            self._allocate()
        self._current, self._since = wanted, 0
        held, self._held = self._held, []
        for each in held:
            yield from self._teach(each, self._loss(each))

    def _skip(self) -> None:
        self.report.skipped += len(self._held)
        self._held = []

    def _allocate(self) -> None:
        self._add(self._begin(len(self._trainees)))
        self.report.allocated += 1

    def _begin(self, at: int) -> MaskLearner:
        return MaskLearner(self.backbone, self._config, self._rule, name=f"nns/{at}")

    def _add(self, made: MaskLearner) -> None:
        at = len(self._trainees)
        self._trainees.append(made)
        if self._bank is None:
            # The rule may ask for more masks than there are: those that come next, as they begin.
            begun = [made, *(self._begin(i) for i in range(1, self._allocation.least))]
            first = PackedMasks(
                layout=self.backbone.layout,
                names=tuple(each.name for each in begun),
                bits=np.stack([self.backbone.layout.pack(each.masks) for each in begun]),
            )
            self._bank = MaskBank(self.backbone, first, classes=self._classes)
        elif at < len(self._bank):
            self._bank.replace(at, self.backbone.layout.pack(made.masks))
        else:
            self._bank.append(made.name, self.backbone.layout.pack(made.masks))

    def _loss(self, batch: StreamBatch) -> float:
        return self._trainees[self._current].loss(*self._data(batch))

    def _data(
        self, batch: StreamBatch
    ) -> tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        device = self.backbone.device
        return batch.images.to(device), batch.labels.to(device)

    def _teach(self, batch: StreamBatch, loss: float) -> Iterator[LearnedMask]:
        trainee = self._trainees[self._current]
        learns = not trainee.finished
        trainee.learn(loss, batch.source)
        if learns:
            self._allocation.learnt(self._current, *self._data(batch))
        self._unsaved = True
        self._stale |= learns
        if learns and trainee.finished:
            yield from self._give()

    def _give(self) -> Iterator[LearnedMask]:
        """The current mask, unless it is as it was given last."""
        if self._unsaved:
            self._unsaved = False
            yield self._trainees[self._current].learned()
