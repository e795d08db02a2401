"""Command that trains: train."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from maskstore import InvalidInput, MaskArchive, StoredTask
from maskstore.codecs import parse_codec
from supsup_store import network, options
from supsup_store.console import print_json, print_table, stderr

# torch takes seconds to import: commands that do not need it must not wait for it, so the
# functions below import supsup when they run.
if TYPE_CHECKING:
    from supsup.tasks import TaskRecipe


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(train)


def train(
    archive: options.Archive,
    dataset: Annotated[str, typer.Option(help="split-mnist, permuted-mnist, rotated-mnist, …")],
    tasks: Annotated[
        int | None, typer.Option(help="How many tasks; by default all that there are.")
    ] = None,
    net: network.NetOrArchive = None,
    outputs: network.Outputs = None,
    seed: network.SeedOrArchive = None,
    init: network.Init = None,
    fan_density: network.FanDensity = None,
    mask: Annotated[
        str, typer.Option(help="threshold, topk, or gradual for very sparse masks.")
    ] = "threshold",
    density: Annotated[float, typer.Option(help="topk, gradual: share of weights kept.")] = 0.5,
    budget: Annotated[str, typer.Option(help="topk, gradual: uniform or erdos-renyi.")] = "uniform",
    multiplier: Annotated[
        float | None,
        typer.Option(
            help="topk, erdos-renyi: s of the paper's SplitImageNet, instead of --density: each "
            "layer keeps min(0.5, s (in + out) / n) of its n weights."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps a task (default 1000).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or passes over the training set.")] = None,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 128,
    outliers: Annotated[
        float,
        typer.Option(
            help="Add shuffled images to each batch, as a share of it (0.03), labelled with "
            "superfluous outputs: single images then tell their task on sparse masks, too."
        ),
    ] = 0.0,
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, rmsprop or, for gradual, normed-sgd.")
    ] = "sgd",
    lr: Annotated[
        float | None, typer.Option(help="Learning rate at the start; by default the optimizer's.")
    ] = None,
    schedule: Annotated[str, typer.Option(help="cosine or constant.")] = "cosine",
    transfer: Annotated[
        str,
        typer.Option(
            help="Start from the running mean of the masks or scores of the tasks before: "
            "masks, scores or none."
        ),
    ] = "none",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 or, on CUDA, tf32.")
    ] = "float32",
    parallel: Annotated[
        int | None,
        typer.Option(
            help="Tasks at a time; by default one a core, on CUDA as many as memory holds. "
            "1 puts all cores on one task."
        ),
    ] = None,
    device: options.Device = "cpu",
    engine: Annotated[
        str, typer.Option(help="local, or ray: on the machines of a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="ray: the cluster's head; by default the one that runs here, local for one of "
            "this machine alone.",
        ),
    ] = None,
    data: options.Data = None,
    codec: options.Codec = "auto",
    csv: Annotated[
        Path | None, typer.Option(help="Add a line of figures a task to this CSV file.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write curves for TensorBoard there.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip the tasks that are there already.")
    ] = False,
    timeout: options.Timeout = 10.0,
    no_lock: options.NoLock = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the tasks of a data set; each mask is appended as soon as it is done.

    A task whose loss is not finite any more is left out and named at the end; the others go on.
    """
    from supsup import TrainConfig, TrainingDiverged, build
    from supsup.archives import (
        backbone_of,
        check_classes,
        check_recipe,
        create_archive,
        iter_train_into,
        missing_tasks,
        parse_device,
    )
    from supsup.cluster import RayCluster
    from supsup.datasets import load
    from supsup.tasks import make_task, task_family
    from supsup.training.metadata import TaskMetadata
    from supsup_store.training_bar import followed

    parse_codec(codec)
    if engine not in ("local", "ray"):
        raise InvalidInput(f"engine: expected local or ray, got {engine!r}")
    if address is not None and engine == "local":
        raise typer.BadParameter("--address goes with --engine ray")
    # The machines of a cluster have the data and the devices; this one may have neither.
    place = parse_device(device if engine == "local" else "cpu")
    if Path(archive).exists():
        opened = MaskArchive.open(archive, "a", timeout=timeout, lock=not no_lock)
        recipe = network.recipe_of(opened, net, outputs, seed, init, fan_density)
    else:
        recipe = network.recipe_of(None, net, outputs, seed, init, fan_density)
        opened = None
    try:
        config = TrainConfig(
            steps=1000 if steps is None and epochs is None else steps,
            epochs=epochs,
            rule=mask,
            density=density,
            budget=budget,
            multiplier=multiplier,
            batch=batch,
            outliers=outliers,
            optimizer=optimizer,
            schedule=schedule,
            seed=recipe.seed,
            lr=lr,
            transfer=transfer,
            precision=precision,
        )
        recipes = task_family(dataset, tasks, seed=recipe.seed)
        check_classes(recipes, recipe.outputs, outliers=config.outliers > 0)
        with ExitStack() as stack:
            if engine == "ray":
                cluster = stack.enter_context(
                    RayCluster(address or "auto", device=device, data_dir=data)
                )
            else:
                loaded = load(recipes[0].dataset, data, quiet=quiet).to(place)
            if opened is None:
                fresh = build(recipe, allow_code=recipe.net == net)
                opened = create_archive(archive, fresh, config)
            check_recipe(opened, recipe)
            backbone = backbone_of(opened, device=place, trusted_net=net)
            wanted = missing_tasks(opened, recipes, config, resume=resume)
            start = time.perf_counter()
            stored: list[StoredTask] = []
            failures: list[TrainingDiverged] = []

            def failed(failure: TrainingDiverged) -> None:
                failures.append(failure)
                log.diverged(failure)

            log = followed(stack, len(wanted), csv, tensorboard, quiet=quiet)
            how: dict[str, Any] = {
                "codec": codec,
                "parallel": parallel,
                "progress": log.progress,
                "diverged": failed,
            }
            if engine == "ray":
                trained = cluster.iter_train_into(opened, backbone, wanted, config, **how)
            else:
                tasks_here = (make_task(each, loaded) for each in wanted)
                trained = iter_train_into(opened, backbone, tasks_here, config, **how)
            try:
                for task in trained:
                    stored.append(task)
                    log.trained(task.name, TaskMetadata.of(task).metrics)
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
                "diverged": [{"name": each.task, "error": str(each)} for each in failures],
                "seconds": seconds,
                "total_bytes": total,
            }
        )
    else:
        rows = [
            (task.name, TaskMetadata.of(task).accuracy, task.codec, task.bytes) for task in stored
        ]
        title = f"{archive}: {len(stored)} tasks trained in {seconds:.1f} s"
        if len(recipes) > len(wanted):
            title += f", {len(recipes) - len(wanted)} were there already"
        print_table(("task", "accuracy", "codec", "bytes"), rows, title=title)
    if failures:
        names = ", ".join(str(failure.task) for failure in failures)
        raise TrainingDiverged(
            f"{len(failures)} of {len(wanted)} tasks have no mask: {names}. First, {failures[0]}"
        )


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
