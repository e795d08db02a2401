"""What one more task costs an archive of 1,000, 10,000 and 100,000: milliseconds of an ``add``.

Transactions that are given up stand between, as they could make the next one copy an index.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.results import save_results
from maskstore import MaskArchive

TASKS = (1_000, 10_000, 100_000)
ADDS, GIVEN_UP = 400, 20
MASK = {"w": np.zeros((16, 16), bool)}


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes, once, and how much of that is the processor's."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - busy)


def medians(measured: list[tuple[float, float]]) -> dict[str, float]:
    """Of both."""
    wall, processor = np.median(measured, axis=0).round(3).tolist()
    return {"median": wall, "of_the_processor": processor}


def give_up(archive: MaskArchive) -> None:
    """A transaction that leaves nothing."""
    try:
        with archive.transaction():
            archive.add("gone", MASK, codec="raw")
            raise KeyError
    except KeyError:
        pass


def main() -> None:
    """Every add is durable: most of it is the two syncs."""
    rows, stored = [], 0
    with (
        tempfile.TemporaryDirectory() as folder,
        MaskArchive.create(Path(folder) / "a.h5", {"w": (16, 16)}) as archive,
    ):

        def add(name: str) -> tuple[float, float]:
            return milliseconds(lambda: archive.add(name, MASK, codec="raw"))

        for tasks in TASKS:
            archive.add_many(((f"t/{n}", MASK, {}) for n in range(stored, tasks)), codec="raw")
            stored = tasks
            one = [add(f"one/{tasks}/{number}") for number in range(ADDS)]
            after = []
            for number in range(GIVEN_UP):
                give_up(archive)
                after.append(add(f"after/{tasks}/{number}"))
            rows.append(
                {
                    "tasks": tasks,
                    "add": medians(one),
                    "add_after_one_given_up": medians(after),
                }
            )
    save_results("add_cost", {"adds": ADDS, "milliseconds": rows})


if __name__ == "__main__":
    main()
