"""Batches whose rows are of many tasks: throughput beside that of one task on the same rows.

    python -m benchmarks.mixed_tasks [--counts 1 16 256 2500] [--rounds 16]

LeNet-300-100, 256 rows, one thread. The rows' tasks are drawn from so many, or are one each. Beside
it: one product per layer for all rows (the dense network of one task, PyTorch's own), and a loop
over the tasks of the batch with their weights W ⊙ M kept as numbers. All take turns; CPU seconds of
this process. Masks are random bits, as no time depends on them.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import save_results
from benchmarks.serving import make_archive
from benchmarks.turns import spread
from supsup import SupSup
from supsup.archives.served import TaskWeights

ROWS = 256
COUNTS = (1, 4, 16, 64, 256, 1000, 2500)


def per_task(known: TaskWeights, x: Tensor, names: Sequence[str]) -> Tensor:
    """What one would write: the rows of each task through its own weights."""
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows_of.setdefault(name, []).append(row)
    out = torch.empty((len(x), 10), dtype=x.dtype, device=x.device)
    with torch.no_grad():
        for name, rows in rows_of.items():
            out[rows] = known.backbone.run(x[rows], known.of(name))
    return out


def measure(
    folder: Path,
    count: int,
    rounds: int,
    *,
    device: str = "cpu",
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Any]:
    """So many tasks; rows of as many of them as there can be.

    Args:
        clock: seconds, of a moment when all that was begun is done.
    """
    path = folder / f"{count}.h5"
    make_archive(path, count)
    rng = np.random.default_rng(count)
    x = torch.from_numpy(rng.normal(size=(ROWS, 784)).astype(np.float32)).to(device)
    with SupSup.open(path, device=device) as model:
        everything = list(model.tasks)
        all_kept = 2**25 + 2**21 * count
        known = TaskWeights(model.archive, model.backbone, weight_bytes=all_kept)
        own = known.of(everything[0])

        def one() -> None:
            with torch.no_grad():
                model.backbone.run(x, own)

        def drawn() -> list[str]:
            return [everything[at] for at in rng.choice(count, ROWS, replace=count < ROWS)]

        for name in everything:  # all was asked for once
            known.logits_of_rows(x[:2], [name, name])
            known.of(name)
            model.predict(x[:2], [name, everything[0]])
        found, loop = known.logits_of_rows(x, names := drawn()), per_task(known, x, names)
        assert found is not None
        assert torch.allclose(found, loop, rtol=1e-4, atol=1e-5)
        runs: dict[str, Callable[[list[str]], object]] = {
            "one task, dense": lambda _: one(),
            "mixed, packed bits": lambda names: known.logits_of_rows(x, names),
            "task after task, W ⊙ M kept": lambda names: per_task(known, x, names),
            "predict, one task": lambda names: model.predict(x, names[0]),
            "predict, mixed": lambda names: model.predict(x, names),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds + 1):
            names = drawn()
            for what, run in runs.items():
                start = clock()
                run(names)
                if turn:
                    seconds[what].append(clock() - start)
    path.unlink()
    times = {name: np.array(each) for name, each in seconds.items()}
    return {
        "tasks": count,
        "tasks_in_a_batch": len(set(names)),
        "milliseconds": {n: round(1e3 * float(np.median(t)), 3) for n, t in times.items()},
        "share_of_one_task": {
            "mixed, packed bits": spread(
                (times["one task, dense"] / times["mixed, packed bits"]).tolist()
            ),
            "task after task, W ⊙ M kept": spread(
                (times["one task, dense"] / times["task after task, W ⊙ M kept"]).tolist()
            ),
            "predict": spread((times["predict, one task"] / times["predict, mixed"]).tolist()),
        },
    }


def main() -> None:
    """Measure the curve and write docs/results/mixed_tasks.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), count, arguments.rounds) for count in arguments.counts]
    save_results(
        "mixed_tasks",
        {
            "torch": torch.__version__,
            "rows_of_a_batch": ROWS,
            "load_average": os.getloadavg(),
            "counts": rows,
        },
    )


if __name__ == "__main__":
    main()
