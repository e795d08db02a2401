"""Memory that is refused: the n-th allocation of a change, of opening, of reading, for every n.

As tests/maskstore/test_allocation_failures.py does for a few; needs Python's own test modules.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.test_allocation_failures import check_change, check_reading
from tests.maskstore.test_interrupts import CHANGES, new_archive

MOST = 100_000


def main() -> None:
    """Anything wrong ends in an AssertionError."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="every so manieth allocation")
    step = parser.parse_args().step
    # What cannot be raised where it happens is printed, as in a generator that is dropped.
    sys.unraisablehook = lambda unraisable: None
    start, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        base = new_archive(path)
        for name in CHANGES:
            rows.append(count(name, step, lambda at, name=name: check_change(path, base, name, at)))
        path.write_bytes(base)
        rows.append(count("open", step, lambda at: check_reading(path, at)[0]))
        rows.append(count("get", step, lambda at: check_reading(path, at)[1]))
    save_results(
        "allocations",
        {
            "step": step,
            "changes": rows,
            "tried": sum(row["tried"] for row in rows),
            "violations": 0,
            "seconds": round(time.perf_counter() - start),
        },
        command=f"python -m benchmarks.allocations --step {step}",
    )


def count(name: str, step: int, check) -> dict[str, object]:
    """Try until a whole stretch of allocations is not reached any more."""
    tried = raised = since = 0
    for at in range(1, MOST, step):
        tried += 1
        if check(at):
            raised, since = raised + 1, 0
        elif (since := since + 1) >= 20:
            break
    return {"change": name, "tried": tried, "raised": raised}


if __name__ == "__main__":
    main()
