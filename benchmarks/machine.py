"""Long random lives of an archive, beside a dictionary that says what must be there.

What maskstore/testing/machine.py can do, for thousands of steps more than the tests take.
"""

import argparse
import time
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.results import save_results
from maskstore.testing.machine import ArchiveMachine


def main() -> None:
    """The first step after which an archive and its model differ ends it, with all before it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50, help="of each life, at most")
    options = parser.parse_args()
    done: Counter[str] = Counter()

    class Counted(ArchiveMachine):
        """Counts the lives and what is looked at in them."""

        def __init__(self) -> None:
            super().__init__()
            done["lives"] += 1

        def check_invariants(self, *arguments: Any, **more: Any) -> None:
            done["states_compared"] += 1
            super().check_invariants(*arguments, **more)

    start = time.perf_counter()
    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=options.lives,
            stateful_step_count=options.steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    save_results(
        "machine",
        {
            "arguments": vars(options),
            **done,
            "differences": 0,
            "seconds": round(time.perf_counter() - start),
        },
        command=f"python -m benchmarks.machine --lives {options.lives} --steps {options.steps}",
    )


if __name__ == "__main__":
    main()
