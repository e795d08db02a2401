"""Tasks in distant corners of one space, which masks of a tiny net tell apart in some steps."""

from collections.abc import Iterable, Iterator

import torch

from supsup import Backbone, BackboneRecipe, TrainConfig, build
from supsup.task_free import Learner, StreamBatch, task_stream
from tests.supsup.helpers import Blobs

STEPS = 60


def corners(count: int) -> list[Blobs]:
    tasks = []
    for at in range(count):
        task = Blobs(name=f"blobs/{at}", classes=3, test=70)
        task.x = task.x + 6 * torch.tensor([1.0] * 4 + [0.0] * 16).roll(4 * at)
        tasks.append(task)
    return tasks


def stream_of(tasks: list[Blobs], *, visits: int = 1, length: int = 40) -> list[StreamBatch]:
    return list(task_stream(tasks, visits=visits, least=length, most=length + 7, batch=32))


def noise(count: int, seed: int = 0) -> list[StreamBatch]:
    """Images of nothing with labels that mean nothing."""
    draw = torch.Generator().manual_seed(seed)
    return [
        StreamBatch(
            images=5 * torch.randn(32, 20, generator=draw),
            labels=torch.randint(3, (32,), generator=draw),
        )
        for _ in range(count)
    ]


def small_net() -> Backbone:
    options = {"inputs": 20, "hidden": [100, 50]}
    return build(BackboneRecipe(net="lenet-300-100", outputs=8, options=options))


def new_learner(*, steps: int = STEPS, **options: object) -> Learner:
    options = {"classes": 3, "every": 20} | options
    return Learner(small_net(), TrainConfig(steps=steps, lr=0.5), **options)


def run_through(learner: Learner, stream: Iterable[StreamBatch]) -> Iterator[object]:
    """All that the learner gave, the last of every name."""
    return {mask.name: mask for mask in learner.learn(stream)}.values()
