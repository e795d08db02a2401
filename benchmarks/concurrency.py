"""Eight processes append 50 tasks each at once while four read: tasks lost or seen half."""

import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.storage.test_concurrency import run_together


def main() -> None:
    """Anything wrong ends in an AssertionError."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        reads = run_together(Path(folder) / "a.h5", writers=8, tasks=50, readers=4)
    save_results(
        "concurrency",
        {
            "writers": 8,
            "tasks": 400,
            "exact_tasks": 400,
            "readers": 4,
            "masks_read_meanwhile": reads,
            "wrong_or_partial_reads": 0,
            "seconds": round(time.perf_counter() - start, 1),
        },
    )


if __name__ == "__main__":
    main()
