"""What is compared runs in turns, so that what else the machine does falls on all."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import quantiles
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[], float]
"""One more step of a training; gives its loss."""


def seconds_of(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """What a piece of work takes by a clock."""
    before = clock()
    work()
    return clock() - before


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Any]:
    """Run all in turns; seconds of each, and how many times those of the first they are.

    Each is run once before, as the first run compiles.

    Args:
        clock: whose seconds count; those of all threads of this process where none is given.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for at in range(rounds):
        for name in list(runs)[:: 1 if at % 2 else -1]:
            seconds[name].append(seconds_of(runs[name], clock))
    first, *others = runs
    return {
        "rounds": rounds,
        "cpu_seconds" if clock is time.process_time else "seconds": {
            name: spread(each) for name, each in seconds.items()
        },
        "times": {
            name: spread([b / a for a, b in zip(seconds[first], seconds[name], strict=True)])
            for name in others
        },
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return {"median": round(middle, 4), "q1": round(low, 4), "q3": round(high, 4)}


def many(step: Step, count: int) -> Callable[[], None]:
    """That many steps as one piece of work."""

    def run() -> None:
        for _ in range(count):
            step()

    return run
