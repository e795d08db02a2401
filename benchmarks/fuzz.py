"""20,000 and more damaged and forged archives: each is refused, or read without a wrong mask."""

import multiprocessing
import random
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.results import save_results
from tests.maskstore.fuzz import DAMAGE, FORGERY, fuzzed
from tests.maskstore.test_fuzz import read_everything, sound_archive

FILES_PER_KIND = 2000
BATCH = 250


def read_batch(job: tuple[bytes, dict[str, bytes], str, int]) -> tuple[str, Counter[str], float]:
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
        outcomes[read_everything(bad, good if kind in DAMAGE or kind == "payload" else None)] += 1
        slowest = max(slowest, time.perf_counter() - start)
    return kind, outcomes, slowest


def main() -> None:
    """A wrong mask, another exception or a crash of a worker ends the run with an error."""
    with tempfile.TemporaryDirectory() as folder:
        content, good = sound_archive(Path(folder) / "a.h5")
    jobs = [
        (content, good, kind, seed)
        for kind in (*DAMAGE, *FORGERY)
        for seed in range(FILES_PER_KIND // BATCH)
    ]
    outcomes: dict[str, Counter[str]] = {}
    slowest = 0.0
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        for kind, counts, seconds in pool.imap_unordered(read_batch, jobs):
            outcomes.setdefault(kind, Counter()).update(counts)
            slowest = max(slowest, seconds)
    save_results(
        "fuzz",
        {
            "files": len(jobs) * BATCH,
            "outcomes": outcomes,
            "wrong_masks": 0,
            "other_exceptions": 0,
            "slowest_seconds": round(slowest, 3),
            "memory_limit_above_start_bytes": 256_000_000,
        },
    )


if __name__ == "__main__":
    main()
