"""Power loss at every operation of 60 transactions, and 500 killed writers: violations found."""

import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.storage.test_crash import check_every_crash_point, kill_writers


def main() -> None:
    """Run both; the first violation ends in an AssertionError."""
    start = time.perf_counter()
    tried = check_every_crash_point(transactions=60, samples=8)
    power_loss = {"states_tried": sum(tried.values()), "by_kind": tried, "violations": 0}
    power_loss["seconds"] = round(time.perf_counter() - start)
    start = time.perf_counter()
    kills = 0
    tasks = 0
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(25):
            tasks += kill_writers(Path(folder) / f"{round_}.h5", kills=20, seed=round_)
            kills += 20
    killed = {"kills": kills, "tasks_committed": tasks, "lost_tasks": 0, "unreadable_files": 0}
    killed["seconds"] = round(time.perf_counter() - start)
    save_results("crash_points", {"power_loss": power_loss, "sigkill": killed})


if __name__ == "__main__":
    main()
