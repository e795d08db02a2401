"""Command that shows the main job: demo."""

import time
from pathlib import Path
from typing import Annotated

import typer

import supsup
from supsup_store import options
from supsup_store.console import print_json, print_line, print_note, print_table
from supsup_store.inference import print_evaluation
from supsup_store.progress import progress_bar


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
    from supsup.training.bar import TrainingBar

    start = time.perf_counter()
    with TrainingBar(supsup.demo.DEMO_TASKS, progress_bar(quiet=quiet)) as bar:
        made = supsup.demo.run_demo(
            out,
            progress=bar.progress,
            say=lambda text: None if quiet else print_note(text),
        )
    seconds = time.perf_counter() - start
    if as_json:
        print_json(made.to_json() | {"seconds": seconds})
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
    print_line(
        f"{made.exact} of {len(made.evaluation.per_task)} masks recovered bit for bit from a "
        f"Hopfield memory of {made.memory_bytes:,} bytes and unlabelled images"
    )
    print_line(f"archive {made.archive}")
    print_line(f"plot    {made.plot}")
    print_line(f"done in {seconds:.1f} s")
