"""20,000 and more damaged and forged archives: each is refused, or read without a wrong mask.

``--version 2``: archives with tensors and renames. Figures: ``fuzz.json`` and ``fuzz_v2.json``.
"""

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.fuzz import fuzzed
from tests.maskstore.test_fuzz import CASES, is_harmless, read_everything, sound_archive

BATCH = 100


def read_batch(job: tuple[bytes, dict, str, int]) -> tuple[str, Counter[str], float]:
    """Read ``BATCH`` fuzzed files in a process that may use 256 MB more than it has."""
    content, good, kind, seed = job
    assert read_everything(content, good) == "sound"  # loads the compiled loops, too
    soft = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (soft + 256_000_000 + len(content),) * 2)
    rng = random.Random(f"{kind} {seed}")
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(BATCH):
        bad = fuzzed(content, kind, rng)
        start = time.perf_counter()
        outcomes[read_everything(bad, good if is_harmless(kind) else None)] += 1
        slowest = max(slowest, time.perf_counter() - start)
    return kind, outcomes, slowest


def main() -> None:
    """A wrong mask or tensor, another exception or a crash of a worker ends it with an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, default=1, choices=(1, 2))
    parser.add_argument("--each", type=int, default=2000, help="files of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content, good = sound_archive(Path(folder) / "a.h5", options.version)
    jobs = [
        (content, good, kind, seed)
        for version, kind in CASES
        if version == options.version
        for seed in range(options.each // BATCH)
    ]
    outcomes: dict[str, Counter[str]] = {}
    slowest = 0.0
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        for kind, counts, seconds in pool.imap_unordered(read_batch, jobs):
            outcomes.setdefault(kind, Counter()).update(counts)
            slowest = max(slowest, seconds)
    save_results(
        "fuzz" if options.version == 1 else "fuzz_v2",
        {
            "arguments": vars(options),
            "files": len(jobs) * BATCH,
            "outcomes": outcomes,
            "wrong_masks_or_tensors": 0,
            "other_exceptions": 0,
            "slowest_seconds": round(slowest, 3),
            "memory_limit_above_start_bytes": 256_000_000,
        },
        command="python -m benchmarks.fuzz",
    )


if __name__ == "__main__":
    main()
