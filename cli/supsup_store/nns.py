"""Command that trains without task identities (scenario NNs): learn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import supsup
from supsup.choices import DEFAULT_NET, DEFAULT_OUTPUTS, AllocationName
from supsup_store import options
from supsup_store.console import counted, print_json, print_table
from supsup_store.options import among, listed
from supsup_store.progress import progress_bar

if TYPE_CHECKING:
    from maskstore import StoredTask


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(learn)


def learn(
    archive: options.Archive,
    dataset: options.Dataset,
    tasks: options.Tasks = None,
    labels: options.Labels = None,
    ways: options.Ways = None,
    size: options.Size = None,
    sampling: options.Sampling = None,
    visits: Annotated[int, typer.Option(help="How often the stream visits each task.")] = 1,
    least: Annotated[int, typer.Option(help="Fewest batches of a visit.")] = 200,
    most: Annotated[int, typer.Option(help="Most batches of a visit.")] = 400,
    allocation: Annotated[
        str,
        typer.Option(
            help=f"{listed(AllocationName)}. Prototypes: by what the data look like. "
            "Uniform: eq. 5 as the paper's code runs it, which trains with "
            "--optimizer rmsprop --lr 1e-4 --schedule constant --own-scores.",
            autocompletion=among(AllocationName),
        ),
    ] = "level",
    every: Annotated[int, typer.Option(help="Batches between regular decisions.")] = 100,
    confirm: Annotated[
        int | None,
        typer.Option(
            help="Batches in a row that must agree on a change; by default 3, with uniform 1."
        ),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Most masks; by default any number.")] = None,
    net: options.Net = DEFAULT_NET,
    outputs: options.Outputs = DEFAULT_OUTPUTS,
    seed: Annotated[int, typer.Option(help="Seed of weights, scores, tasks and stream.")] = 0,
    weights: options.Weights = None,
    weights_for: options.WeightsFor = None,
    embed_weights: options.EmbedWeights = False,
    mask: options.Mask = "threshold",
    density: options.Density = 0.5,
    steps: Annotated[int, typer.Option(help="Most batches that one mask learns from.")] = 500,
    batch: options.Batch = 128,
    optimizer: options.Optimizer = "sgd",
    lr: options.LearningRate = None,
    schedule: options.Schedule = "cosine",
    own_scores: Annotated[
        bool,
        typer.Option(
            "--own-scores", help="Start each mask from scores of its own, not all from the same."
        ),
    ] = False,
    device: options.Device = "cpu",
    data: options.Data = None,
    codec: options.Codec = "auto",
    resume: options.Resume = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn from a stream whose tasks nobody names (scenario NNs), into a new archive.

    What it knows beside the masks is in ARCHIVE.learning, until the stream ends.
    """
    network = supsup.archives.NetworkOptions(
        net=net,
        outputs=outputs,
        seed=seed,
        weights=weights,
        weights_for=tuple(weights_for or ()),
        # Such masks have nothing beside them: statistics of the weights file, or of the batch.
        statistics=None if resume or weights else "batch",
    )
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task("learning", total=None)

        def on_mask(stored: "StoredTask", counts: "supsup.task_free.Report") -> None:
            bar.update(shown, completed=counts.batches, description=f"{stored.name} kept")

        report = supsup.task_free.learn_family(
            Path(archive),
            dataset,
            tasks,
            network.recipe(archive if resume else None),
            supsup.TrainConfig(
                steps=steps,
                rule=mask,
                density=density,
                batch=batch,
                optimizer=optimizer,
                lr=lr,
                schedule=schedule,
                seed=seed,
                shared_scores=not own_scores,
            ),
            supsup.task_free.StreamConfig(
                visits=visits,
                least=least,
                most=most,
                allocation=allocation,
                every=every,
                confirm=confirm,
                budget=budget,
            ),
            task_options=options.task_options(labels=labels, sampling=sampling, ways=ways),
            device=device,
            data_dir=data,
            size=size,
            trusted_net=net,
            codec=codec,
            embed=embed_weights,
            resume=resume,
            quiet=quiet,
            on_mask=on_mask,
        )
    if as_json:
        print_json(report.to_json())
        return
    print_table(
        ("mask", "level", "steps", "bytes", "tasks it was given (batches)"),
        [
            (
                row["name"],
                row["level"],
                row["steps"],
                row["bytes"],
                ", ".join(f"{s['task']} ({s['batches']})" for s in row["sources"]),
            )
            for row in report.rows()
        ],
        title=f"{archive}: {counted(report.counts.allocated, 'mask')} from "
        f"{report.counts.batches:,} batches",
        long=("tasks it was given (batches)",),
        least_wanted=("level", "steps"),
    )
