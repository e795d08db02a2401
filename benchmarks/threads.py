"""Eight threads of mixed use on one archive for ten minutes: errors that nothing should raise.

One writes pairs of tasks with tensors, one gives its transactions up, one compacts and refreshes,
five read and compare all that while, as tests/maskstore/test_threads.py does for seconds.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.results import save_results
from maskstore import MaskArchive, verify
from tests.maskstore.test_threads import mixed_use, new_archive

READERS = 5


def main() -> None:
    """Anything wrong ends in an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds = parser.parse_args().seconds
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        new_archive(path)
        done = mixed_use(path, seconds=seconds, readers=READERS)
        with MaskArchive.open(path) as archive:
            damaged = len(verify(archive, deep=True))
    save_results(
        "threads",
        {
            "threads": 3 + READERS,
            "done": done,
            "false_errors": 0,
            "damaged_tasks": damaged,
            "seconds": round(time.perf_counter() - start),
        },
        command=f"python -m benchmarks.threads --seconds {seconds:g}",
    )


if __name__ == "__main__":
    main()
