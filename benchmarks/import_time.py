"""What importing the package takes beyond torch, each import in a process of its own, in turns."""

import argparse
import os
import subprocess
import sys
from typing import Any

from benchmarks.results import save_results
from benchmarks.training_pace import spread

LINES = {
    "torch": "import torch",
    "maskstore": "import maskstore",
    "supsup": "import supsup",
    "from supsup import train": "from supsup import train",
    "from supsup import SupSup": "from supsup import SupSup",
}
_TIMED = "import time; t = time.process_time(); {}; print(time.process_time() - t)"


def seconds_of(line: str) -> float:
    """CPU seconds of an import in a new process."""
    run = subprocess.run(
        [sys.executable, "-c", _TIMED.format(line)], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def measure(rounds: int) -> dict[str, Any]:
    """All in turns, once before so that the files are in memory."""
    seconds: dict[str, list[float]] = {name: [] for name in LINES}
    for turn in range(rounds + 1):
        for name, line in LINES.items():
            found = seconds_of(line)
            if turn:
                seconds[name].append(found)
    beyond = {
        name: [a - b for a, b in zip(each, seconds["torch"], strict=True)]
        for name, each in seconds.items()
        if name.startswith("from")
    }
    return {
        "rounds": rounds,
        "load_average": os.getloadavg(),
        "cpu_seconds": {name: spread(each) for name, each in seconds.items()},
        "beyond_torch": {name: spread(each) for name, each in beyond.items()},
    }


def main() -> None:
    """Write docs/results/import_time.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    save_results("import_time", measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
