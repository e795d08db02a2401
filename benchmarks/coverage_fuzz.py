"""Readers of foreign files under a fuzzer that looks for new paths through them (atheris).

    pip install atheris
    python -m benchmarks.coverage_fuzz --seconds 600 --corpus corpus

One process a target of tests/fuzz_targets.py, one after another. A reader that raises what is no
error of this project, takes 20 seconds or 2 GB, or crashes ends its target: the input is kept in
the corpus folder and the figures name it. Figures: ``coverage_fuzz.json``. ``--keep`` (which needs
coverage) chooses of the corpus what the tests read again.
"""

import argparse
import gzip
import hashlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.results import ROOT, save_results, saved_results

PACKAGES = ["maskstore", "supsup", "hopfield", "zipfile", "torch._weights_only_unpickler"]
COMPILED = ("maskstore/codecs/kernels", "supsup/inference/kernels")
"""Folders of what numba compiles from its bytecode, which must be as it was written."""
LARGEST = 16_384
"""Bytes of an input."""
_EVERY = 500
"""Inputs after which outcomes are written down."""


def fuzz(name: str, folder: Path, seconds: int) -> None:
    """Feed one target; does not return."""
    import atheris

    files = [file for folder in COMPILED for file in (ROOT / folder).glob("*.py")]
    left_out = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    with atheris.instrument_imports(include=PACKAGES, exclude=left_out):
        from tests.fuzz_targets import TARGETS

        target, outcomes = TARGETS[name], Counter()
        for at, seed in enumerate(target.seeds()):
            (folder / f"seed-{at}").write_bytes(seed)
            # What a reader imports when it is first called must be instrumented, too.
            target.read(seed)

    def take(content: bytes) -> None:
        outcomes[target.read(content)] += 1
        if outcomes.total() % _EVERY == 0:
            folder.with_suffix(".outcomes").write_text(json.dumps(outcomes))

    def alter(content: bytes, largest: int, seed: int) -> bytes:
        def mutate(piece: bytes) -> bytes:
            return bytes(atheris.Mutate(piece or b"\0", max(64, min(2 * len(piece), largest))))

        return target.alter(content, mutate, seed)[:largest]

    options = ("-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={folder}.found-")
    limits = (f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-print_final_stats=1")
    atheris.Setup([sys.argv[0], *limits, *options, str(folder)], take, custom_mutator=alter)
    atheris.Fuzz()


def watch(name: str, folder: Path, seconds: int) -> dict[str, object]:
    """Fuzz in a process of its own; what it tried and found."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["--target", name, "--seconds", str(seconds), "--corpus", str(folder.parent)]
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.coverage_fuzz", *command, "--inside"],
        capture_output=True,
        text=True,
        errors="replace",
    )
    folder.with_suffix(".log").write_text(run.stdout + run.stderr)
    tried = re.search(r"stat::number_of_executed_units:\s+(\d+)", run.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", run.stderr)
    counted = folder.with_suffix(".outcomes")
    return {
        "inputs": int(tried[1]) if tried else None,
        "outcomes": json.loads(counted.read_text()) if counted.exists() else {},
        "branches": [int(each) for each in (covered[0][0], covered[-1][0])] if covered else None,
        "found": sorted(path.name for path in folder.parent.glob(f"{name}.found-*")),
        "exit": run.returncode,
        "seconds": round(time.perf_counter() - start),
    }


def keep(name: str, folder: Path) -> None:
    """Put into ``tests/fuzz_corpus`` the inputs of a target that the tests are to read again.

    Each branch that any input runs is run by one of them, the small ones first; what the target's
    own seeds run needs none.
    """
    from coverage import Coverage

    from tests.fuzz_targets import CORPUS, TARGETS

    def branches(content: bytes) -> set[tuple[str, int, int]]:
        measure = Coverage(data_file=None, branch=True, source=["maskstore", "supsup", "hopfield"])
        with measure.collect():
            TARGETS[name].read(content)
        data = measure.get_data()
        files = data.measured_files()
        return {(file, *arc) for file in files for arc in data.arcs(file) or ()}

    inputs = sorted((path.read_bytes() for path in folder.iterdir()), key=len)
    for seed in TARGETS[name].seeds():
        branches(seed)  # what is imported or computed once is nobody's
    known = set[tuple[str, int, int]]().union(*map(branches, TARGETS[name].seeds()))
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    for content in inputs:
        found = branches(content)
        if found - known:
            known |= found
            path = CORPUS / name / f"{hashlib.sha256(content).hexdigest()[:12]}.gz"
            path.write_bytes(gzip.compress(content, 9, mtime=0))


def main() -> None:
    """Every target, or one; figures are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", help="one of them")
    parser.add_argument("--seconds", type=int, default=600, help="of each target")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder for what is tried")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="only: choose inputs for the tests")
    options = parser.parse_args()
    if options.inside:
        fuzz(options.target, options.corpus / options.target, options.seconds)
    targets = saved_results("coverage_fuzz").get("targets", {})
    names = ("archive", "memory", "npz", "checkpoint", "idx", "json")
    for name in [options.target] if options.target else names:
        if options.keep:
            keep(name, options.corpus / name)
            continue
        targets[name] = watch(name, options.corpus / name, options.seconds)
        save_results(
            "coverage_fuzz",
            {"largest_input_bytes": LARGEST, "targets": targets},
            command=f"python -m benchmarks.coverage_fuzz --seconds {options.seconds} --corpus …",
        )


if __name__ == "__main__":
    main()
