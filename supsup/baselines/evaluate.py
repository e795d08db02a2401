"""Accuracy of a baseline, measured after all tasks are learnt, in the paper's scenarios."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.registry import check_one_of
from supsup.baselines.base import Baseline
from supsup.evaluation.batches import evaluation_batches
from supsup.evaluation.metrics import ContinualMetrics, measure
from supsup.evaluation.scenarios import GG, Scenario
from supsup.evaluation.score import EVAL_BATCH, Answers, Evaluation, score_task
from supsup.inference import MODES, Objective
from supsup.inference.objectives import parse_objective
from supsup.networks.modes import plain_modes
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import one_tensor
from supsup.tasks.protocol import TaskData

Answer = Callable[[Float[Tensor, "batch ..."]], Answers]


def evaluate_baseline(
    baseline: Baseline,
    tasks: Iterable[TaskData],
    batch: int = EVAL_BATCH,
    *,
    scenario: Scenario = GG,
    method: str = "auto",
    objective: str | Objective = "entropy",
    mode: str = "image",
) -> Evaluation:
    """Each task's test set: its name given (GG), or found among all tasks learnt (GNs, GNu).

    The ways to find it are those of :mod:`supsup.inference`, over what the baseline has of each
    task in the place of its mask: ``exhaustive``, the task under which the objective is lowest;
    ``logits``, that of the largest class output, which makes one classifier over the classes of
    all tasks (class-incremental learning: GNu by ``logits``; of iCaRL the nearest class mean);
    ``one-shot``, the gradient with respect to the shares of all tasks in superposition.

    Args:
        tasks: learnt ones, in any order and number.
        batch: images a forward pass. A rest smaller than half of it joins the batch before.
        method: one of ``baseline.methods``; ``auto`` for the first.
        objective: of ``exhaustive`` and ``one-shot``.
        mode: who decides on the task: ``image``, ``batch`` or ``first``.

    Returns:
        An evaluation whose ``method`` is the baseline's name, and that of the way but in GG.

    Raises:
        InvalidInput: there is no task, one was not learnt, or one has no test images; a method that
            does not apply to the baseline, or an objective to its outputs; a scenario in which
            training is not told the task.
    """
    if not scenario.trained_by_name:
        raise InvalidInput(
            f"scenario {scenario.name}: {baseline.name} is told the task in training"
        )
    answers: Iterator[tuple[TaskData, Answer]]
    if scenario.given:
        answers = ((task, _given(baseline, task.name)) for task in tasks)
        name, measure = baseline.name, None
    else:
        method = baseline.methods[0] if method == "auto" else method
        check_one_of(f"{baseline.name}: method", method, baseline.methods)
        check_one_of("mode", mode, MODES)
        finder = _Finder(
            baseline=baseline,
            method=method,
            objective=parse_objective(objective),
            mode=mode,
            batch=batch,
        )
        answers = finder.answers(list(tasks))
        name = f"{baseline.name}, {method}"
        measure = None if method == "logits" else finder.objective.name
    rows = (
        score_task(
            task,
            _on_one_tensor(task, answer),
            backbone=baseline.backbone,
            labels_shared=scenario.labels_shared,
            batch=batch,
        )
        for task, answer in answers
    )
    return Evaluation.of(scenario, rows, method=name, objective=measure, batch=batch)


def _on_one_tensor(task: TaskData, answer: Answer) -> Callable[[Inputs], Answers]:
    return lambda images: answer(one_tensor(images, f"task {task.name!r}"))


def _given(baseline: Baseline, task: str) -> Answer:
    return lambda images: Answers(labels=baseline.logits(task, images).argmax(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finder:
    """Finds tasks among all that a baseline has learnt."""

    baseline: Baseline
    method: str
    objective: Objective
    mode: str
    batch: int

    def answers(self, tasks: Sequence[TaskData]) -> Iterator[tuple[TaskData, Answer]]:
        """For each task who answers for its test images, in the order of their batches."""
        learnt = self.baseline.tasks
        for task in tasks:
            self.baseline.classes(task.name)
        if self.method == "one-shot":
            for task in tasks:
                yield task, self._one_shot(learnt.index(task.name))
            return
        # Learnt tasks in the outer loop: what belongs to one, such as rotations, is made but once.
        found: dict[str, list[tuple[list[Tensor], list[Tensor]]]] = {t.name: [] for t in tasks}
        for candidate in learnt:
            for task in tasks:
                batches = found[task.name]
                for at, images in enumerate(self._batches(task)):
                    if at == len(batches):
                        batches.append(([], []))
                    outputs = self.baseline.outputs(candidate, images)
                    classes = self.baseline.classes(candidate)
                    batches[at][0].append(self._evidence(outputs, classes))
                    batches[at][1].append(outputs[:, :classes].argmax(1))
        for task in tasks:
            yield task, self._from(iter(found[task.name]), learnt.index(task.name))

    def _from(self, batches: Iterator[tuple[list[Tensor], list[Tensor]]], own: int) -> Answer:
        def answer(images: Tensor) -> Answers:
            evidence, labels = (torch.stack(each, 1) for each in next(batches))
            tasks = self._decide(evidence)
            return Answers(labels=labels.gather(1, tasks[:, None])[:, 0], in_task=tasks == own)

        return answer

    def _one_shot(self, own: int) -> Answer:
        learnt, count = self.baseline.tasks, len(self.baseline.tasks)
        classes = max(map(self.baseline.classes, learnt))

        @plain_modes()
        def answer(images: Tensor) -> Answers:
            images = images.to(self.baseline.backbone.device)

            def value(shares: Tensor, part: Tensor) -> Tensor:
                outputs = self.baseline.superposed(shares, part)
                self.objective.check(outputs.shape[1], classes)
                return self.objective(outputs, classes).mean()

            shares = torch.full((count,), 1 / count, dtype=torch.float32, device=images.device)
            groups = images.split(1) if self.mode == "image" else [images]
            groups = [images[:1]] if self.mode == "first" else groups
            slopes = torch.stack([torch.func.grad(value)(shares, part) for part in groups])
            tasks = self._decide(-slopes.expand(len(images), -1))
            labels = torch.empty(len(images), dtype=torch.int64, device=images.device)
            for at, name in enumerate(learnt):
                if bool((there := tasks == at).any()):
                    labels[there] = self.baseline.logits(name, images)[there].argmax(1)
            return Answers(labels=labels, in_task=tasks == own)

        return answer

    def _evidence(
        self, outputs: Float[Tensor, "image outputs"], classes: int
    ) -> Float[Tensor, " image"]:
        if self.method == "logits":
            return outputs[:, :classes].amax(1)
        self.objective.check(outputs.shape[1], classes)
        differ = len(set(map(self.baseline.classes, self.baseline.tasks))) > 1
        return -self.objective(outputs, classes, relative=differ)

    def _decide(self, evidence: Float[Tensor, "image task"]) -> Int64[Tensor, " image"]:
        if self.mode == "batch":
            evidence = evidence.mean(0, keepdim=True).expand_as(evidence)
        elif self.mode == "first":
            evidence = evidence[:1].expand_as(evidence)
        return evidence.argmax(1)

    def _batches(self, task: TaskData) -> Iterator[Tensor]:
        for images, labels in evaluation_batches(self.baseline.backbone, task, self.batch):
            if len(labels):
                yield one_tensor(images, f"task {task.name!r}")


def learn_and_measure(
    baseline: Baseline, tasks: Sequence[TaskData], **how: Any
) -> ContinualMetrics:
    """Learn tasks one after another, evaluating all that are learnt after each; with what is kept
    after each, and how long it took to learn.

    Args:
        baseline: that has learnt nothing yet.
        how: arguments of :func:`evaluate_baseline`.

    Raises:
        InvalidInput: as :func:`evaluate_baseline`.
    """

    kept: list[int] = []
    seconds: list[float] = []

    def after(count: int) -> Evaluation:
        start = time.perf_counter()
        baseline.learn(tasks[count - 1])
        seconds.append(time.perf_counter() - start)
        kept.append(baseline.bytes())
        return evaluate_baseline(baseline, tasks[:count], **how)

    measured = measure([task.name for task in tasks], after)
    return replace(measured, bytes=tuple(kept), seconds=tuple(seconds))
