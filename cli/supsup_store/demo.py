"""Command that shows the main job: demo."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from maskstore import MaskArchive
from supsup_store import options
from supsup_store.console import print_json, print_table, stderr
from supsup_store.inference import print_evaluation

# torch takes seconds to import: the function below imports supsup when it runs.


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(demo)


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the archive and plot.")
    ] = Path("supsup-demo"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train SplitMNIST on the embedded digits, append, read back, evaluate, recover, report."""
    from supsup.demo import DEMO_FAMILY, run_demo
    from supsup.recovery.compare import recover_all
    from supsup.recovery.mask_memory import encode_archive
    from supsup.tasks import task_family
    from supsup_store.training_bar import TrainingBar

    start = time.perf_counter()
    with TrainingBar(len(task_family(DEMO_FAMILY)), quiet=quiet) as bar:
        try:
            made = run_demo(
                out,
                progress=bar.progress,
                say=lambda text: None if quiet else stderr.print(text, markup=False),
            )
        except KeyboardInterrupt:
            stderr.print("stopped; what is done is kept, run the same command again to go on")
            sys.exit(130)
    with MaskArchive.open(made.archive) as archive:
        memory = encode_archive(archive)
        runs = list(recover_all(archive, memory))
    exact = sum(run.exact for run in runs)
    if as_json:
        recovered = {"tasks": len(runs), "exact": exact, "memory_bytes": memory.memory.nbytes}
        seconds = time.perf_counter() - start
        print_json(made.to_json() | {"recovered": recovered, "seconds": seconds})
        return
    print_evaluation(made.evaluation, str(made.archive))
    stats = made.stats
    print_table(
        ("bytes a task", "bytes", "times smaller than dense"),
        [
            ("dense float32 model", stats.dense_bytes_per_task, 1.0),
            ("mask, bit-packed", stats.bitpacked_bytes_per_task, None),
            ("this archive, all of the file", stats.bytes_per_task, stats.ratio_to_dense),
        ],
    )
    typer.echo(
        f"{exact} of {len(runs)} masks recovered bit for bit from a Hopfield memory of "
        f"{memory.memory.nbytes:,} bytes and unlabelled images"
    )
    typer.echo(f"archive {made.archive}\nplot    {made.plot}")
    typer.echo(f"done in {time.perf_counter() - start:.1f} s")
