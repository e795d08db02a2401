"""Which tests run which lines, and how long each takes: what a mutant is to be shown to.

pip install coverage
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sources import ROOT


class Reach:
    """A pytest plugin: lines by test, written as JSON when all have run."""

    def __init__(self, path: Path, packages: list[str]) -> None:
        import coverage

        self.path = path
        self.coverage = coverage.Coverage(data_file=None, source=packages, branch=False)
        self.coverage.start()
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = round(time.perf_counter() - start, 4)
        self.coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self.failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        tests = sorted(self.seconds)
        number = {test: at for at, test in enumerate(tests)}
        lines: dict[str, dict[int, list[int]]] = defaultdict(dict)
        for file in data.measured_files():
            name = Path(file).relative_to(ROOT).as_posix()
            for line, contexts in data.contexts_by_lineno(file).items():
                lines[name][line] = sorted(number[each] for each in contexts if each in number)
        document = {
            "tests": tests,
            "seconds": [self.seconds[test] for test in tests],
            "left_out": sorted(set(self.failed)),
            "lines": lines,
        }
        self.path.write_text(json.dumps(document))
