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
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the archives, the memory and the plot.")
    ] = Path("supsup-demo"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train SplitMNIST on the embedded digits, append, read back, evaluate, recover, report."""
    start = time.perf_counter() if context.obj is None else context.obj
    from supsup.training.bar import TrainingBar

    with TrainingBar(supsup.demo.DEMO_TRAININGS, progress_bar(quiet=quiet)) as bar:
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
    stats, found = made.stats, made.recovery
    assert stats.dense_bytes_per_task is not None
    packed = stats.bitpacked_bytes_per_task
    print_table(
        ("bytes a task", "bytes", "times smaller"),
        [
            ("dense float32 model", stats.dense_bytes_per_task, 1.0),
            ("mask, bit-packed", packed, stats.dense_bytes_per_task / packed),
            ("archive, all of the file", stats.bytes_per_task, stats.ratio_to_dense),
        ],
        title=f"masks over all {stats.bits_per_mask:,} weights of {made.net}",
    )
    print_line(
        f"{found.exact} of {found.tasks} masks over the {found.units:,} units of {found.net} "
        f"recovered bit for bit from unlabelled images and a Hopfield memory, a file of "
        f"{found.memory_bytes:,} bytes"
    )
    print_line(f"archive {made.archive}")
    print_line(f"plot    {made.plot}")
    print_line(f"memory  {found.memory}")
    print_line(f"done in {seconds:.1f} s, start-up included")
