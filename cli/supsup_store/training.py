"""Command that trains: train."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import supsup
from supsup.choices import (
    BudgetName,
    EngineName,
    OutlierKindName,
    PrecisionName,
    TensorTypeName,
    TransferName,
)
from supsup_store import options
from supsup_store.console import counted, print_json, print_note, print_table
from supsup_store.options import among, listed


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(train)


def train(
    archive: options.Archive,
    dataset: options.Dataset,
    tasks: options.Tasks = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="Tasks are called PREFIX/0, PREFIX/1, …, by default after the data "
            "(split-mnist/0); so the same data can be trained once more in another way.",
        ),
    ] = None,
    labels: options.Labels = None,
    ways: options.Ways = None,
    size: options.Size = None,
    sampling: options.Sampling = None,
    net: options.NetOrArchive = None,
    outputs: options.OutputsOrArchive = None,
    seed: options.SeedOrArchive = None,
    init: options.Init = None,
    fan_density: options.FanDensity = None,
    weights: options.Weights = None,
    weights_for: options.WeightsFor = None,
    embed_weights: options.EmbedWeights = False,
    backbone_from: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Train the whole network on this task first, by Adam for as many steps; masks "
            "then lie over its weights, which are put beside the new archive.",
        ),
    ] = None,
    statistics: options.Statistics = None,
    maskable: options.Maskable = None,
    per_task: options.PerTask = None,
    per_task_lr: Annotated[
        float | None,
        typer.Option(help="Learning rate of --per-task, whose optimizer is Adam (default 0.001)."),
    ] = None,
    per_task_dtype: Annotated[
        str,
        typer.Option(
            help=f"What --per-task is rounded to and kept as: {listed(TensorTypeName)}, which "
            "keeps differences from where training started.",
            autocompletion=among(TensorTypeName),
        ),
    ] = "float32",
    mask: options.Mask = "threshold",
    density: options.Density = 0.5,
    budget: Annotated[
        str,
        typer.Option(
            help=f"topk, gradual: {listed(BudgetName)}.",
            autocompletion=among(BudgetName),
        ),
    ] = "uniform",
    start_density: Annotated[
        float, typer.Option(help="gradual: the share of weights kept at first.")
    ] = 0.2,
    multiplier: Annotated[
        float | None,
        typer.Option(
            help="topk, erdos-renyi: s of the paper's SplitImageNet, instead of --density: each "
            "layer keeps min(0.5, s (in + out) / n) of its n weights."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps a task (default 1000).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or passes over the training set.")] = None,
    batch: options.Batch = 128,
    outliers: Annotated[
        float,
        typer.Option(
            help="Add images of no task to each batch, as a share of it (0.03), labelled with "
            "superfluous outputs: single images then tell their task on sparse masks, too."
        ),
    ] = 0.0,
    outlier_kind: Annotated[
        str,
        typer.Option(
            help=f"What they are: {listed(OutlierKindName)}: own images shuffled, or turned by "
            "quarters, a further class for each class and turn (four outputs a class); or drawn "
            "from the prototypes of other tasks.",
            autocompletion=among(OutlierKindName),
        ),
    ] = "shuffled",
    outliers_from: Annotated[
        Path | None,
        typer.Option(
            metavar="ARCHIVE",
            help="gaussian: whose prototypes; by default of the archive that is trained into.",
        ),
    ] = None,
    optimizer: options.Optimizer = "sgd",
    lr: options.LearningRate = None,
    schedule: options.Schedule = "cosine",
    transfer: Annotated[
        str,
        typer.Option(
            help="Start from the running mean of the masks or scores of the tasks before: "
            f"{listed(TransferName)}.",
            autocompletion=among(TransferName),
        ),
    ] = "none",
    precision: Annotated[
        str,
        typer.Option(
            help=f"{listed(PrecisionName)}; tf32 is for CUDA.",
            autocompletion=among(PrecisionName),
        ),
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
        str,
        typer.Option(
            help=f"{listed(EngineName)}; ray: on the machines of a Ray cluster.",
            autocompletion=among(EngineName),
        ),
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
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:PLACE",
            help="Where figures go while tasks train: csv:FILE, tensorboard:DIR, wandb:PROJECT or "
            "mlflow:EXPERIMENT; may be repeated.",
        ),
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
    from supsup.training.trackers import parse_log
    from supsup_store.training_bar import followed

    logs = [
        *([] if csv is None else [f"csv:{csv}"]),
        *([] if tensorboard is None else [f"tensorboard:{tensorboard}"]),
        *(log or ()),
    ]
    for each in logs:
        parse_log(each)
    if address is not None and engine == "local":
        raise typer.BadParameter("--address goes with --engine ray")
    network = supsup.archives.NetworkOptions(
        net=net,
        outputs=outputs,
        seed=seed,
        init=init,
        fan_density=fan_density,
        weights=weights,
        weights_for=tuple(weights_for or ()),
        statistics=statistics,
        per_task=tuple(per_task) if per_task else None,
        maskable=tuple(maskable) if maskable else None,
    )
    config = supsup.TrainConfig(
        steps=1000 if steps is None and epochs is None else steps,
        epochs=epochs,
        rule=mask,
        density=density,
        budget=budget,
        start_density=start_density,
        multiplier=multiplier,
        batch=batch,
        outliers=outliers,
        outlier_kind=outlier_kind,
        optimizer=optimizer,
        schedule=schedule,
        lr=lr,
        transfer=transfer,
        precision=precision,
        per_task_lr=per_task_lr,
        per_task_dtype=per_task_dtype,
    )
    own = None
    if supsup.tasks.is_own(dataset):
        if data is None:
            raise typer.BadParameter(f"--dataset {dataset} goes with --data PATH")
        own = supsup.datasets.read_own(data, size=size)
    elif size is not None:
        raise typer.BadParameter("--size goes with --dataset split-folder and the like")
    trainer = supsup.cluster.parse_engine(
        engine, address=address, device=device, data_dir=data, quiet=quiet
    )
    report = supsup.archives.train_family(
        Path(archive),
        dataset,
        tasks,
        network,
        config,
        name=name,
        own=own,
        backbone_from=backbone_from,
        task_options=options.task_options(labels=labels, sampling=sampling, ways=ways),
        engine=trainer,
        follow=partial(followed, log=logs, quiet=quiet),
        resume=resume,
        outliers_from=outliers_from,
        parallel=parallel,
        codec=codec,
        embed=embed_weights,
        timeout=timeout,
        lock=not no_lock,
    )
    if as_json:
        print_json(report.to_json())
    else:
        title = (
            f"{archive}: {counted(len(report.stored), 'task')} trained in {report.seconds:.1f} s"
        )
        if report.skipped:
            title += f", {report.skipped} {'was' if report.skipped == 1 else 'were'} there already"
        headings = ("task", "accuracy", "codec", "bytes")
        print_table(headings, report.rows(), title=title, least_wanted=("codec",))
    if (note := report.chance_note) and not quiet:
        print_note(note)
    report.check()
