"""Power loss at every operation of 60 transactions, and killed writers: violations found.

``--version 2``: with tensors and renames. Figures: ``crash_points.json``, ``crash_points_v2.json``.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.storage.test_crash import check_every_crash_point, kill_writers

PER_FILE = 20
"""Kills of the writers of one file, before the next file begins."""


def power_loss(transactions: int, version: int) -> dict[str, object]:
    """What was tried and found; the first violation ends in an AssertionError."""
    start = time.perf_counter()
    tried = check_every_crash_point(transactions=transactions, samples=8, version=version)
    return {
        "states_tried": sum(tried.values()),
        "by_kind": tried,
        "violations": 0,
        "seconds": round(time.perf_counter() - start),
    }


def killed_writers(kills: int, version: int) -> dict[str, object]:
    """What was tried and found; the first violation ends in an AssertionError."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tasks = sum(
            kill_writers(Path(folder) / f"{seed}.h5", kills=PER_FILE, seed=seed, version=version)
            for seed in range(kills // PER_FILE)
        )
    return {
        "kills": kills // PER_FILE * PER_FILE,
        "tasks_committed": tasks,
        "lost_tasks": 0,
        "unreadable_files": 0,
        "seconds": round(time.perf_counter() - start),
    }


def main() -> None:
    """Run both; what is 0 of either is left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, default=1, choices=(1, 2))
    parser.add_argument("--transactions", type=int, default=60)
    parser.add_argument("--kills", type=int, default=500, help=f"a multiple of {PER_FILE}")
    options = parser.parse_args()
    figures: dict[str, object] = {"arguments": vars(options)}
    if options.kills:
        figures["sigkill"] = killed_writers(options.kills, options.version)
    if options.transactions:
        figures["power_loss"] = power_loss(options.transactions, options.version)
    save_results(
        "crash_points" if options.version == 1 else "crash_points_v2",
        figures,
        command="python -m benchmarks.crash_points",
    )


if __name__ == "__main__":
    main()
