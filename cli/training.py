"""Commands that make and train: create, train, demo."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli import options
from cli.console import print_json, print_table, progress_bar, stderr
from cli.inference import print_evaluation
from maskstore import InvalidInput, MaskArchive, MaskLayout
from maskstore.codecs import parse_codec

# torch takes seconds to import: commands that do not need it must not wait for it, so the
# functions below import supsup when they run.
if TYPE_CHECKING:
    from supsup import BackboneRecipe, Progress
    from supsup.data import TaskRecipe

DEFAULT_NET = "lenet-300-100"
DEFAULT_OUTPUTS = 100

NetOrArchive = Annotated[
    str | None,
    typer.Option(
        "--net",
        help="lenet-300-100, fc-1024-1024, bn-2048 or module:function; by default the archive's, "
        f"in a new archive {DEFAULT_NET}.",
    ),
]
Outputs = Annotated[
    int | None,
    typer.Option(help=f"Outputs of the network; by default {DEFAULT_OUTPUTS} in a new archive."),
]
Init = Annotated[
    str | None,
    typer.Option(help="signed-constant (the default), scaled-kaiming or kaiming-normal."),
]
SeedOrArchive = Annotated[
    int | None,
    typer.Option(
        help="Seed of weights, initial scores, tasks and batches; by default the archive's, "
        "in a new archive 0."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command()(demo)
    app.command()(create)
    app.command()(train)


def create(
    archive: options.Archive,
    net: NetOrArchive = None,
    outputs: Outputs = None,
    seed: SeedOrArchive = None,
    init: Init = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Without a network: take the layers of this mask file (.npz, …)."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make an empty archive for a network, or for masks like those of a file."""
    if like is not None:
        if any(option is not None for option in (net, outputs, seed, init)):
            raise typer.BadParameter("--like goes without --net, --outputs, --seed and --init")
        from maskstore.interchange import layout_of

        made = MaskArchive.create(archive, layout_of(like))
    else:
        from supsup import build
        from supsup.session import create_archive

        recipe = _recipe(None, net, outputs, seed, init)
        made = create_archive(archive, build(recipe, allow_code=recipe.net == net))
    with made:
        _report_new(made.path, made.layout, made.weights_digest, as_json)


def train(
    archive: options.Archive,
    dataset: Annotated[str, typer.Option(help="split-mnist, permuted-mnist, rotated-mnist, …")],
    tasks: Annotated[
        int | None, typer.Option(help="How many tasks; by default all that there are.")
    ] = None,
    net: NetOrArchive = None,
    outputs: Outputs = None,
    seed: SeedOrArchive = None,
    init: Init = None,
    mask: Annotated[str, typer.Option(help="threshold or topk.")] = "threshold",
    density: Annotated[float, typer.Option(help="topk: share of weights kept.")] = 0.5,
    budget: Annotated[str, typer.Option(help="topk: uniform or erdos-renyi.")] = "uniform",
    steps: Annotated[int | None, typer.Option(help="Steps a task (default 1000).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or passes over the training set.")] = None,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 128,
    optimizer: Annotated[str, typer.Option(help="sgd, adam or rmsprop.")] = "sgd",
    lr: Annotated[
        float | None, typer.Option(help="Learning rate at the start; by default the optimizer's.")
    ] = None,
    schedule: Annotated[str, typer.Option(help="cosine or constant.")] = "cosine",
    device: options.Device = "cpu",
    data: options.Data = None,
    codec: options.Codec = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip the tasks that are there already.")
    ] = False,
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the tasks of a data set; each mask is appended as soon as it is done."""
    from supsup import TrainConfig, build
    from supsup.data import load, make_task, task_family
    from supsup.session import (
        backbone_of,
        check_classes,
        check_recipe,
        create_archive,
        missing_tasks,
        parse_device,
        train_into,
    )

    parse_codec(codec)
    place = parse_device(device)
    if Path(archive).exists():
        opened = MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock)
        recipe = _recipe(opened, net, outputs, seed, init)
    else:
        recipe = _recipe(None, net, outputs, seed, init)
        opened = None
    try:
        config = TrainConfig(
            steps=1000 if steps is None and epochs is None else steps,
            epochs=epochs,
            rule=mask,
            density=density,
            budget=budget,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            seed=recipe.seed,
            lr=lr,
        )
        recipes = task_family(dataset, tasks, seed=recipe.seed)
        check_classes(recipes, recipe.outputs)
        loaded = load(recipes[0].dataset, data, quiet=quiet).to(place)
        if opened is None:
            opened = create_archive(archive, build(recipe, allow_code=recipe.net == net))
        check_recipe(opened, recipe)
        backbone = backbone_of(opened, device=place, trusted_net=net)
        wanted = missing_tasks(opened, recipes, config, resume=resume)
        start = time.perf_counter()
        with _training_progress(len(wanted), quiet=quiet) as report:
            try:
                stored = list(
                    train_into(
                        opened,
                        backbone,
                        (make_task(each, loaded) for each in wanted),
                        config,
                        codec=codec,
                        progress=report,
                    )
                )
            except KeyboardInterrupt:
                _stopped(opened, recipes)
        seconds = time.perf_counter() - start
        total = opened.file_bytes
    finally:
        if opened is not None:
            opened.close()
    if as_json:
        print_json(
            {
                "trained": [task.to_json() for task in stored],
                "skipped": len(recipes) - len(wanted),
                "seconds": seconds,
                "total_bytes": total,
            }
        )
        return
    rows = [
        (task.name, task.metadata["metrics"]["accuracy"], task.codec, task.bytes) for task in stored
    ]
    title = f"{archive}: {len(stored)} tasks trained in {seconds:.1f} s"
    if len(recipes) > len(wanted):
        title += f", {len(recipes) - len(wanted)} were there already"
    print_table(("task", "accuracy", "codec", "bytes"), rows, title=title)


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the archive and plot.")
    ] = Path("supsup-demo"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train SplitMNIST on the embedded digits, append, read back, evaluate, report, draw."""
    from supsup.data import task_family
    from supsup.demo import DEMO_FAMILY, run_demo

    start = time.perf_counter()
    with _training_progress(len(task_family(DEMO_FAMILY)), quiet=quiet) as report:
        try:
            made = run_demo(
                out,
                progress=report,
                say=lambda text: None if quiet else stderr.print(text, markup=False),
            )
        except KeyboardInterrupt:
            stderr.print("stopped; what is done is kept, run the same command again to go on")
            sys.exit(130)
    if as_json:
        print_json(made.to_json() | {"seconds": time.perf_counter() - start})
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
    typer.echo(f"archive {made.archive}\nplot    {made.plot}")
    typer.echo(f"done in {time.perf_counter() - start:.1f} s")


def _recipe(
    archive: MaskArchive | None,
    net: str | None,
    outputs: int | None,
    seed: int | None,
    init: str | None,
) -> "BackboneRecipe":
    """The recipe that the options ask for; what they leave out is the archive's, or the default."""
    from supsup import BackboneRecipe

    asked = {"net": net, "outputs": outputs, "seed": seed, "init": init}
    given = {key: value for key, value in asked.items() if value is not None}
    if archive is not None:
        if archive.backbone is None:
            raise InvalidInput(f"{archive.path}: made by hand, without a network; nothing to train")
        return BackboneRecipe.from_json(archive.backbone | given)
    return BackboneRecipe.from_json({"net": DEFAULT_NET, "outputs": DEFAULT_OUTPUTS} | given)


@contextmanager
def _training_progress(tasks: int, *, quiet: bool) -> Iterator["Callable[[Progress], None]"]:
    """A bar over all steps of all tasks, fed by ``train``'s progress."""
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task("training", total=None)
        before: dict[str, int] = {}

        def report(progress: "Progress") -> None:
            before[progress.name] = progress.step
            bar.update(
                shown,
                total=tasks * progress.steps,
                completed=sum(before.values()),
                description=f"{progress.name} loss {progress.loss:.3f}",
            )

        yield report


def _stopped(archive: MaskArchive, recipes: "list[TaskRecipe]") -> NoReturn:
    """Say what is safe and how to go on, and leave with the exit code of an interrupt."""
    done = sum(recipe.name in archive for recipe in recipes)
    archive.close()
    stderr.print(
        f"stopped: {done} of {len(recipes)} tasks are in {archive.path}, which is valid; "
        "run the same command with --resume to go on",
        markup=False,
        soft_wrap=True,
    )
    sys.exit(130)


def _report_new(path: str | Path, layout: MaskLayout, digest: str | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "archive": str(path),
                "bits": layout.bits,
                "layout": layout.to_json(),
                "weights_digest": digest,
            }
        )
    else:
        typer.echo(f"made {path} for masks of {layout.bits:,} bits in {len(layout.shapes)} layers")
