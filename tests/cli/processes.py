"""Processes that a command started, whoever their parents are by now."""

import os
import uuid
from pathlib import Path

import pytest


class Mark:
    """An environment whose mark every process below inherits."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "SUPSUP_TEST_MARK": self._mark}

    def alive(self) -> list[str]:
        """The command lines of the processes that have the mark."""
        if not Path("/proc/self/environ").exists():
            pytest.skip("only Linux tells the environment of processes")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (process / "environ").read_bytes():
                    line = (process / "cmdline").read_bytes()
                    found.append(line.replace(b"\0", b" ").decode(errors="replace"))
            except OSError:  # not ours to see, or it has ended
                continue
        return found
