"""Command that trains without task identities (scenario NNs): learn."""

from pathlib import Path
from typing import Annotated, Any

import typer

from maskstore import MaskArchive
from supsup_store import options
from supsup_store.console import print_json, print_table, progress_bar

# torch takes seconds to import: the function below imports supsup when it runs.


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(learn)


def learn(
    archive: options.Archive,
    dataset: Annotated[str, typer.Option(help="permuted-mnist, rotated-mnist, …")],
    tasks: Annotated[
        int | None, typer.Option(help="How many tasks the stream visits; by default all.")
    ] = None,
    visits: Annotated[int, typer.Option(help="How often it visits each.")] = 1,
    least: Annotated[int, typer.Option(help="Fewest batches of a visit.")] = 200,
    most: Annotated[int, typer.Option(help="Most batches of a visit.")] = 400,
    allocation: Annotated[
        str, typer.Option(help="level, or uniform (the reference's rule).")
    ] = "level",
    every: Annotated[int, typer.Option(help="Batches between regular decisions.")] = 100,
    confirm: Annotated[int, typer.Option(help="Batches in a row that must agree on a change.")] = 3,
    budget: Annotated[int | None, typer.Option(help="Most masks; by default any number.")] = None,
    net: Annotated[
        str, typer.Option(help="lenet-300-100, fc-1024-1024 or bn-2048.")
    ] = "lenet-300-100",
    outputs: Annotated[int, typer.Option(help="Outputs of the network.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of weights, scores, tasks and stream.")] = 0,
    mask: Annotated[str, typer.Option(help="threshold or topk.")] = "threshold",
    density: Annotated[float, typer.Option(help="topk: share of weights kept.")] = 0.5,
    steps: Annotated[int, typer.Option(help="Most batches that one mask learns from.")] = 500,
    batch: Annotated[int, typer.Option(help="Images a batch.")] = 128,
    device: options.Device = "cpu",
    data: options.Data = None,
    codec: options.Codec = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed run with these options was.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn from a stream whose tasks nobody names (scenario NNs), into a new archive.

    What it knows beside the masks is in ARCHIVE.learning, until the stream ends.
    """
    from supsup import BackboneRecipe, TrainConfig, build
    from supsup.archives import check_classes, check_recipe, create_archive, parse_device
    from supsup.datasets import load
    from supsup.task_free import (
        Learner,
        LearnerCheckpoint,
        learn_into,
        parse_allocation,
        task_stream,
    )
    from supsup.tasks import make_task, task_family
    from supsup.training.metadata import TaskMetadata

    place = parse_device(device)
    rule = parse_allocation(allocation)
    config = TrainConfig(steps=steps, rule=mask, density=density, batch=batch, seed=seed)
    recipes = task_family(dataset, tasks, seed=seed)
    check_classes(recipes, outputs)
    images = load(recipes[0].dataset, data, quiet=quiet).to(place)
    made = [make_task(recipe, images) for recipe in recipes]
    recipe = BackboneRecipe(net=net, outputs=outputs, seed=seed)
    backbone = build(recipe)
    learner = Learner(
        backbone.to(place),
        config,
        classes=max(task.classes for task in made),
        allocation=rule,
        every=every,
        confirm=confirm,
        budget=budget,
    )
    stream = task_stream(made, visits=visits, least=least, most=most, batch=batch, seed=seed)
    kept = LearnerCheckpoint(
        archive,
        {
            "tasks": [each.to_json() for each in recipes],
            "stream": {"visits": visits, "least": least, "most": most, "seed": seed},
            "allocation": {"rule": allocation, "every": every, "confirm": confirm},
            "budget": budget,
            "training": config.to_json(),
        },
    )
    going_on = resume and Path(archive).exists()
    with (
        MaskArchive.open(archive, "a") if going_on else create_archive(archive, backbone) as opened,
        progress_bar(quiet=quiet) as bar,
    ):
        if going_on:
            check_recipe(opened, recipe)
        else:
            kept.remove()  # that of an archive which is no more
        shown = bar.add_task("learning", total=None)
        for stored in learn_into(opened, learner, stream, codec=codec, kept=kept):
            report = learner.report
            bar.update(shown, completed=report.batches, description=f"{stored.name} kept")
        rows: list[dict[str, Any]] = [
            {
                "name": stored.name,
                "level": metadata.metrics.get("level"),
                "steps": metadata.metrics.get("steps"),
                "bytes": stored.bytes,
                "sources": [
                    {"task": each.name, "batches": each.batches} for each in metadata.sources or ()
                ],
            }
            for stored in opened
            for metadata in [TaskMetadata.of(stored)]
        ]
    if as_json:
        print_json({"masks": rows, **learner.report.to_json()})
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
            for row in rows
        ],
        title=f"{archive}: {learner.report.allocated} masks from {learner.report.batches} batches",
    )
