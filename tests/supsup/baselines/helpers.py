"""Small tasks in a row, and what training them dense needs."""

from supsup import Backbone, build
from supsup.baselines import BASELINES, Baseline, BaselineConfig
from tests.supsup.helpers import Blobs, small_lenet

FEW = BaselineConfig(steps=5, batch=16, lr=1e-2)
ENOUGH = BaselineConfig(steps=100, batch=32, lr=1e-2)


def small_net(outputs: int = 4) -> Backbone:
    """20-30-10-outputs."""
    return build(small_lenet(outputs, init="kaiming-normal"))


def blobs(count: int, **fields: int) -> list[Blobs]:
    return [Blobs(name=f"blobs/{at}", **{"classes": 4, **fields}) for at in range(count)]


def taught(name: str, tasks: list[Blobs], config: BaselineConfig = FEW, **options) -> Baseline:
    """A baseline that has learnt the tasks."""
    baseline = BASELINES[name](small_net(), config, **options)
    for task in tasks:
        baseline.learn(task)
    return baseline
