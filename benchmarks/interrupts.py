"""Ctrl-C between any two instructions of a change to an archive: does the archive say what the file
holds, and is nothing lost?

    python -m benchmarks.interrupts --step 1

As tests/maskstore/test_interrupts.py does for a few: every ``--step``-th instruction of a change.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.test_interrupts import CHANGES, check, count, new_archive


def main() -> None:
    """Anything wrong ends in an AssertionError."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1)
    step = parser.parse_args().step
    start, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        base = new_archive(path)
        for name, (change, _) in CHANGES.items():
            places = count(path, change)
            raised = [check(path, base, name, at) for at in range(1, places + 1, step)]
            stopped = sum(isinstance(each, KeyboardInterrupt) for each in raised)
            rows.append(
                {"change": name, "instructions": places, "tried": len(raised), "stopped": stopped}
            )
            path.write_bytes(base)
    save_results(
        "interrupts",
        {
            "step": step,
            "changes": rows,
            "tried": sum(row["tried"] for row in rows),
            "violations": 0,
            "seconds": round(time.perf_counter() - start, 1),
        },
        command=f"python -m benchmarks.interrupts --step {step}",
    )


if __name__ == "__main__":
    main()
