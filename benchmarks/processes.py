"""The command line in a process of its own, with the packages that the benchmark itself has.

``python -m benchmarks.NAME`` finds them in the checkout, where the command line is a folder further
down: without a word the process would take an installed one, of whatever release.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import maskstore

_ROOT = Path(maskstore.__file__).parents[1]


def start_command(*arguments: object, **options: Any) -> "subprocess.Popen[Any]":
    """Start ``supsup-store`` with those arguments.

    Args:
        options: of :class:`subprocess.Popen`.
    """
    folders = [str(folder) for folder in (_ROOT, _ROOT / "cli") if folder.is_dir()]
    before = filter(None, [os.environ.get("PYTHONPATH")])
    return subprocess.Popen(
        [sys.executable, "-m", "supsup_store", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*folders, *before])},
        **options,
    )
