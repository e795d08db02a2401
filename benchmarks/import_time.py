"""What importing the package takes beyond torch, each import in a process of its own, in turns.

Bytecode is kept, as installed packages have it. Where ``PYTHONDONTWRITEBYTECODE`` is set and nobody
has compiled the sources, every process does so anew; that is measured beside.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
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
_NOT_COMPILED = "from supsup import SupSup, sources compiled anew"
_TIMED = "import time; t = time.process_time(); {}; print(time.process_time() - t)"


def seconds_of(line: str, compiled: Path | None) -> float:
    """CPU seconds of an import in a new process.

    Args:
        compiled: folder of the bytecode; None for processes that keep none of ours.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if compiled is None:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    else:
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    run = subprocess.run(
        [sys.executable, "-c", _TIMED.format(line)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(run.stdout)


def measure(rounds: int) -> dict[str, Any]:
    """All in turns, once before so that the files are in memory and their bytecode is there."""
    seconds: dict[str, list[float]] = {name: [] for name in [*LINES, _NOT_COMPILED]}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            found = {name: seconds_of(line, Path(folder)) for name, line in LINES.items()}
            found[_NOT_COMPILED] = seconds_of(LINES["from supsup import SupSup"], None)
            if turn:
                for name, each in found.items():
                    seconds[name].append(each)
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
