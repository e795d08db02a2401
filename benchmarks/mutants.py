"""Which small faults in the sources their tests notice.

    pip install coverage
    python -m benchmarks.mutants --folder mutants --count 2000

Mutants are drawn at random from all places of the sources where a comparison, a computation, a
number, a condition, a returned value, a statement or the order of two arguments can be altered.
Each is shown to the tests that run its line, those beside its module first and the quickest first,
until one fails. What was tried is kept in the folder: a run goes on where it stopped. A test counts
only if it passes in the same place without the mutant. Survivors are compared with the list of
those that were looked at, ``mutants_explained.json``. Figures: ``mutants.json``.

What numba compiles is a draw of its own (``--compiled``, ``mutants_compiled.json``), as each of its
mutants is compiled anew.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.mutation.draw import Mutant, draw
from benchmarks.results import FOLDER, save_results
from tests.sources import ROOT

AREAS = {
    "maskstore": "tests/maskstore/",
    "hopfield": "tests/hopfield/",
    "supsup/masking": "tests/supsup/masking/",
    "supsup/inference": "tests/supsup/inference/",
    "supsup/evaluation": "tests/supsup/evaluation/",
}
"""Sources, and the tests beside them."""
COMPILED = {
    "maskstore/codecs/kernels/": ("codecs/test_kernels.py", "codecs/test_specification.py"),
    "supsup/inference/kernels/": ("test_kernels.py", "test_linear.py", "test_objectives.py"),
}
"""What numba compiles, where no tool sees the lines that run: the tests that are shown them."""
TRACING = (
    "storage/test_crash.py",
    "storage/test_concurrency.py",
    "test_interrupts.py",
    "test_machine.py",
    "test_allocation_failures.py",
)
"""Of maskstore: tests that trace instructions themselves, or repeat a change thousands of times.
Mutants are not shown to them, though they may notice more."""
AGAIN = (
    "tests/test_whole_files.py",
    "tests/test_foreign_files.py",
    "tests/test_fuzz_targets.py",
    "tests/supsup/archives/test_per_task.py",
)
"""Tests of several folders, which survivors are shown."""
BUDGET = 12.0
"""Seconds of tests that a mutant is shown at most, as measured with the tool that sees lines."""


def area_of(file: str) -> str:
    """The folder of :data:`AREAS` that a source is in."""
    return next(area for area in AREAS if file.startswith(f"{area}/"))


class Tests:
    """Which tests run which lines; see :mod:`benchmarks.mutation.reach`."""

    def __init__(self, folder: Path) -> None:
        self.names: list[str] = []
        self.seconds: list[float] = []
        self.unsound: set[str] = set()
        """Those that fail here without a mutant, or were skipped."""
        self.lines: dict[str, dict[str, list[int]]] = {}
        for path in sorted(folder.glob("reach-*.json")):
            document, first = json.loads(path.read_text()), len(self.names)
            self.names += document["tests"]
            self.seconds += document["seconds"]
            self.unsound |= set(document["left_out"])
            for file, lines in document["lines"].items():
                for line, tests in lines.items():
                    known = self.lines.setdefault(file, {}).setdefault(line, [])
                    known += [first + at for at in tests]

    def of(self, mutant: Mutant, budget: float) -> list[str]:
        """Those a mutant is shown, in order; none where no test runs its line."""
        lines = self.lines.get(mutant.file, {})
        beside = AREAS[area_of(mutant.file)]
        compiled = next((each for each in COMPILED if mutant.file.startswith(each)), None)
        if compiled:
            paths = tuple(beside + each for each in COMPILED[compiled])
            chosen = {at for at, name in enumerate(self.names) if name.startswith(paths)}
        elif mutant.function:
            span = range(mutant.lines[0], mutant.lines[1] + 1)
            chosen = {at for line in span for at in lines.get(str(line), ())}
        else:
            chosen = {at for tests in lines.values() for at in tests}
        order = sorted(
            chosen, key=lambda at: (not self.names[at].startswith(beside), self.seconds[at])
        )
        tests, total = [], 0.0
        for at in order:
            if self.names[at] in self.unsound:
                continue
            total += self.seconds[at]
            if len(tests) >= 5 and total > budget:
                break
            tests.append(self.names[at])
        return tests

    def limit(self, tests: list[str]) -> float:
        """Seconds after which they hang."""
        known = dict(zip(self.names, self.seconds, strict=True))
        return 20 + 4 * sum(known[test] for test in tests)


class Runner:
    """The warm process and this one, which forks for what is imported."""

    def __init__(self, tests: Tests, cache: Path) -> None:
        from benchmarks.mutation import server

        server.import_others()
        self.tests, self.cache, self.server = tests, cache, server
        self.passed: set[str] = set()
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(
            target=server.serve, args=(theirs, [*AREAS.values(), *AGAIN])
        )
        self.process.start()
        print(f"{self.pipe.recv()} tests collected", file=sys.stderr)

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join(30)

    def ask(self, mutant: Mutant | None, tests: list[str], importing: bool) -> tuple[str, str, str]:
        limit = self.tests.limit(tests)
        if importing:
            cache = self.cache if mutant and "/kernels/" in mutant.file else None
            return self.server.forked(
                lambda: self.server.imported(mutant, tests, cache), limit + 60
            )
        self.pipe.send((mutant, tests, limit))
        answer: tuple[str, str, str] = self.pipe.recv()
        return answer

    def judge(self, mutant: Mutant, budget: float) -> dict[str, Any]:
        """A row of the figures."""
        start = time.perf_counter()
        importing = not mutant.function or "/kernels/" in mutant.file
        while True:
            tests = self.tests.of(mutant, budget)
            if not tests:
                outcome, test, said = "unreached", "", ""
                break
            outcome, test, said = self.ask(mutant, tests, importing)
            if outcome == "import":
                importing = True
                continue
            if not test or test in self.passed or test not in tests:
                break
            same = tests[: tests.index(test) + 1]
            if self.ask(None, same, importing)[0] == "survived":
                self.passed.add(test)
                break
            self.tests.unsound.add(test)
        row = asdict(mutant)
        return row | {
            "outcome": outcome,
            "test": test,
            "said": said,
            "shown": len(tests),
            "budget": budget,
            "seconds": round(time.perf_counter() - start, 2),
        }


def key(row: dict[str, Any]) -> tuple[str, int, int, str]:
    """What tells mutants of the same sources apart."""
    return row["file"], row["start"], row["end"], row["after"]


def read_rows(path: Path) -> dict[tuple[str, int, int, str], dict[str, Any]]:
    """The last row of every mutant that was tried."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {key(row): row for row in rows}


def explained() -> dict[tuple[str, ...], dict[str, str]]:
    """Survivors that were looked at and need no test, by where they are and what they change."""
    path = FOLDER / "mutants_explained.json"
    listed = json.loads(path.read_text("utf-8"))["survivors"] if path.exists() else []
    return {tuple(each[part] for part in _NAMED): each for each in listed}


_NAMED = ("file", "function", "text", "before", "after")


def figures(rows: list[dict[str, Any]], mutants: int) -> dict[str, Any]:
    """Counts by folder and by kind, and every survivor that no reason was given for."""
    known = explained()

    def verdict(row: dict[str, Any]) -> str:
        if row["outcome"] in ("caught", "timeout"):
            return "caught"
        return "explained" if tuple(row[part] for part in _NAMED) in known else "survived"

    def counted(part: Any) -> dict[str, dict[str, int]]:
        groups: dict[str, Counter[str]] = {}
        for row in rows:
            groups.setdefault(part(row), Counter())[verdict(row)] += 1
        return {name: dict(sorted(groups[name].items())) for name in sorted(groups)}

    total = Counter(verdict(row) for row in rows)
    why = Counter(
        known[tuple(row[part] for part in _NAMED)]["category"]
        for row in rows
        if verdict(row) == "explained"
    )
    return {
        "mutants_in_all": mutants,
        "drawn": len(rows),
        **{name: total[name] for name in ("caught", "explained", "survived")},
        "timeouts": sum(row["outcome"] == "timeout" for row in rows),
        "reasons": dict(sorted(why.items())),
        "by_folder": counted(lambda row: area_of(row["file"])),
        "by_kind": counted(lambda row: row["kind"]),
        "survivors": [
            {
                part: row[part]
                for part in ("file", "line", "function", "kind", "text", "before", "after")
            }
            for row in sorted(rows, key=key)
            if verdict(row) == "survived"
        ],
    }


def measure_reach(folder: Path) -> None:
    """Run the tests once, a process each area, and write down the lines that each of them runs.

    What numba compiles meanwhile is kept for the mutants of other modules.
    """
    script = (
        "import sys, pytest; from pathlib import Path; from benchmarks.mutation.reach import Reach;"
        "pytest.main(['-p', 'no:cacheprovider', '-q', *sys.argv[2:]],"
        " plugins=[Reach(Path(sys.argv[1]), ['maskstore', 'hopfield', 'supsup'])])"
    )
    for number, tests in enumerate([*([each] for each in AREAS.values()), AGAIN], start=1):
        target = folder / f"reach-{number}.json"
        if not target.exists():
            ignored = [f"--ignore={tests[0]}{name}" for name in TRACING]
            command = [sys.executable, "-c", script, str(target), *tests, *ignored]
            compiled = os.environ | {"NUMBA_CACHE_DIR": str(folder / "numba")}
            subprocess.run(command, cwd=ROOT, env=compiled, check=True)


def main() -> None:
    """Draw, try, and write the figures of what has been tried so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for what was tried")
    parser.add_argument("--count", type=int, default=2000, help="mutants of the draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--compiled", action="store_true", help="only of what numba compiles")
    parser.add_argument(
        "--again",
        action="store_true",
        help="survivors, with five times the tests, but those explained",
    )
    parser.add_argument("--write", action="store_true", help="only the figures")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "rows.jsonl"
    everything = [
        mutant
        for mutant in draw(ROOT, AREAS, options.seed)
        if any(map(mutant.file.startswith, COMPILED)) == options.compiled
    ]
    drawn = everything[: options.count]
    rows = read_rows(path)
    if not options.write:
        measure_reach(options.folder)
        known = explained()
        again = {
            at
            for at, row in rows.items()
            if row["outcome"] in ("survived", "unreached")
            and row["budget"] == BUDGET
            and tuple(row[part] for part in _NAMED) not in known
        }
        todo = [
            mutant
            for mutant in drawn
            if (key(asdict(mutant)) in again if options.again else key(asdict(mutant)) not in rows)
        ]
        runner = Runner(Tests(options.folder), options.folder / "numba")
        with path.open("a") as file:
            for mutant in todo:
                row = runner.judge(mutant, BUDGET * (5 if options.again else 1))
                file.write(json.dumps(row) + "\n")
                file.flush()
        runner.close()
        rows = read_rows(path)
    tried = [rows[at] for at in map(key, map(asdict, drawn)) if at in rows]
    save_results(
        "mutants_compiled" if options.compiled else "mutants",
        {"seed": options.seed, **figures(tried, len(everything))},
        command=f"python -m benchmarks.mutants --folder … --count {options.count}"
        + " --compiled" * options.compiled,
        quiet=True,
    )


if __name__ == "__main__":
    main()
