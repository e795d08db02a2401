"""What importing the package takes beyond torch, in the same processes, in turns.

Bytecode is kept, as installed packages have it. Where ``PYTHONDONTWRITEBYTECODE`` is set and nobody
has compiled the sources, every process does so anew; that is measured beside. So is the import
with Python's search for garbage put off, and that search by itself: it goes through all objects of
torch and falls to whoever next makes some 10,000 lists, an import as much as anything else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import save_results
from benchmarks.turns import spread

_SUPSUP = "from supsup import SupSup"
_MEASURED = """
import gc, json, sys, time
def seconds(line):
    start = time.process_time()
    exec(line, {})
    return time.process_time() - start
found = {line: seconds(line) for line in sys.argv[2:-1]}
if sys.argv[1] == "off":
    gc.disable()
found[sys.argv[-1]] = seconds(sys.argv[-1])
found["modules"] = len(sys.modules)
if sys.argv[1] == "off":
    found["garbage"] = seconds("import gc; gc.collect()")
print(json.dumps(found))
"""


def seconds_of(*lines: str, compiled: Path | None, collector: bool = True) -> dict[str, float]:
    """CPU seconds of imports, one after the other, in a new process.

    Args:
        compiled: folder of the bytecode; None for processes that keep none of ours.
        collector: whether the last line runs with the search for garbage on; if not, what one
            takes afterwards is ``garbage``.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if compiled is None:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    else:
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, "on" if collector else "off", *lines],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def measure(rounds: int) -> dict[str, Any]:
    """All in turns, once before so that the files are in memory and their bytecode is there."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(rounds + 1):
            alone = seconds_of("import maskstore", compiled=folder)
            lazy = seconds_of("import supsup", compiled=folder)
            ours = seconds_of("import torch", _SUPSUP, compiled=folder)
            off = seconds_of("import torch", _SUPSUP, compiled=folder, collector=False)
            anew = seconds_of("import torch", _SUPSUP, compiled=None)
            found = {
                "torch": ours["import torch"],
                "maskstore": alone["import maskstore"],
                "supsup": lazy["import supsup"],
                "from supsup import SupSup, after torch": ours[_SUPSUP],
                "the same, garbage not searched for": off[_SUPSUP],
                "a search for garbage then": off["garbage"],
                "from supsup import SupSup, after torch, sources compiled anew": anew[_SUPSUP],
            }
            for what, each in found.items():
                seconds.setdefault(what, []).extend([each] * bool(turn))
    return {
        "rounds": rounds,
        "load_average": os.getloadavg(),
        "modules": ours["modules"],
        "cpu_seconds": {name: spread(each) for name, each in seconds.items()},
    }


def main() -> None:
    """Write docs/results/import_time.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    save_results("import_time", measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
