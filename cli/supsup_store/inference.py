"""Commands that use the masks of an archive: eval and infer."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

import supsup
from maskstore import MaskArchive, archive_stats
from maskstore.queries import select
from maskstore.selection import select_from
from supsup.choices import MethodName, ObjectiveName
from supsup_store import options
from supsup_store.console import counted, print_csv, print_json, print_line, print_note, print_table
from supsup_store.options import among, listed
from supsup_store.progress import stage_progress, task_progress

Method = Annotated[
    str,
    typer.Option(
        help=f"How the task is found: {listed('auto', MethodName)}.",
        autocompletion=among("auto", MethodName),
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        help=f"What tells the task: {listed('auto', ObjectiveName)}.",
        autocompletion=among("auto", ObjectiveName),
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        help="image: each by itself; batch: all together; first: the first decides for all."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("eval")(evaluate)
    app.command()(infer)
    app.command()(prototypes)


def evaluate(
    archive: options.Archive,
    scenario: Annotated[
        str,
        typer.Option(
            help="GG: the task is given. GNs, GNu: it is inferred; labels shared or not. "
            "NNs: it was not known in training either."
        ),
    ] = "GG",
    task: options.TaskPattern = None,
    method: Method = "auto",
    objective: Objective = "auto",
    mode: Mode = "image",
    batch: Annotated[int, typer.Option(help="Images a forward pass.")] = 128,
    metrics: Annotated[
        bool,
        typer.Option(
            "--metrics",
            help="Also accuracy after each task on those before it, forgetting and transfer: "
            "for T tasks T (T + 1) / 2 test sets.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="PATH", help="--metrics: save a picture of the matrix."),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print a row a task; with --metrics the accuracy matrix."),
    ] = False,
    net: options.TrustedNet = None,
    device: options.Device = "cpu",
    data: options.Data = None,
    force: Annotated[
        bool, typer.Option("--force", help="Own images: also on others than were trained on.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate the archive on the test sets of its tasks.

    With --task only on those of some; which of all masks is theirs is inferred all the same.
    """
    if plot is not None and not metrics:
        raise typer.BadParameter("--plot goes with --metrics")
    options.check_plot(plot)
    place = supsup.archives.parse_device(device)
    with ExitStack() as stack:
        opened = stack.enter_context(MaskArchive.open(archive))
        names = select(opened, task)
        report = stack.enter_context(task_progress("evaluating", len(names), quiet=quiet))
        backbone = supsup.archives.backbone_of(opened, device=place, trusted_net=net)
        how: dict[str, Any] = {
            "scenario": scenario,
            "method": method,
            "objective": objective,
            "mode": mode,
            "batch": batch,
            "data_dir": data,
            "force": force,
        }
        found = supsup.archives.evaluate_archive(
            opened, backbone, names=None if task is None else names, on_task=report, **how
        )
        measured = None
        if metrics:
            learnt = [row.name for row in found.per_task]
            measured = supsup.archives.metrics_of_archive(opened, backbone, learnt, **how)
    if plot is not None and measured is not None:
        supsup.plots.plot_matrix(measured.names, measured.matrix, plot)
    for each in () if quiet else found.skipped:
        print_note(str(each))
    if as_json:
        print_json(found.to_json() | ({"metrics": measured.to_json()} if measured else {}))
        return
    if as_csv:
        if measured is not None:
            print_csv(*measured.rows())
        else:
            print_csv(*_evaluation_rows(found))
        return
    print_evaluation(found, str(archive))
    if measured is not None:
        figures = measured.to_json()
        figures["bytes"] = measured.bytes[-1] if measured.bytes else None
        rows = [(key.replace("_", " "), value) for key, value in list(figures.items())[2:-1]]
        print_table(("over time", "value"), rows)


def infer(
    archive: options.Archive,
    inputs: Annotated[
        Path,
        typer.Option("--data", help="Images: .npy, .npz, IDX or a folder of pictures."),
    ],
    task: options.TaskPattern = None,
    method: Method = "auto",
    objective: Objective = "auto",
    mode: Mode = "image",
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Refuse images that take more bytes once unpacked.")
    ] = 2**30,
    net: options.TrustedNet = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the task of unlabelled images, and predict their classes.

    With --task they are of one of those tasks; of a single one, only classes are predicted.
    """
    place = supsup.archives.parse_device(device)
    with MaskArchive.open(archive) as whole, stage_progress(quiet=quiet) as report:
        opened = select_from(whole, task)
        found = supsup.archives.infer_file(
            opened,
            supsup.archives.backbone_of(opened, device=place, trusted_net=net),
            inputs,
            method=method,
            objective=objective,
            mode=mode,
            largest=max_bytes,
            progress=report,
        )
        document = supsup.archives.inference_json(opened, found, mode)
    if found.note and not quiet:
        print_note(found.note)
    if as_json:
        print_json(document)
        return
    if found.reason and not quiet:
        print_note(f"method {found.method}: {found.reason}")
    print_table(
        ("image", "task", "prediction", "confidence", "margin", "known"),
        [
            (
                row["file"] or number,
                row["task"],
                row["prediction"] if row["label"] is None else row["label"],
                *(row[key] for key in ("confidence", "margin", "known")),
            )
            for number, row in enumerate(document["images"])
        ],
        least_wanted=("margin", "confidence"),
    )
    known = [row["known"] for row in document["images"]]
    if not quiet and (strange := known.count(False)):
        print_note(
            f"{strange} of {counted(len(known), 'image')} {'is' if strange == 1 else 'are'} unlike "
            "those of the task found for them: they may be of a task that is not here"
        )


def print_evaluation(found: "supsup.Evaluation", title: str) -> None:
    """The table of an evaluation. Where the task is given (GG), there is none to be found."""
    headings, rows = _evaluation_rows(found)
    mean = ["mean", found.accuracy, found.task_accuracy][: len(headings)]
    print_table(headings, [*rows, mean], title=f"{title}, scenario {found.scenario}")


def _evaluation_rows(found: "supsup.Evaluation") -> tuple[list[str], list[list[Any]]]:
    shown = 2 if found.scenario == "GG" else 3
    rows = [[row.name, row.accuracy, row.task_accuracy][:shown] for row in found.per_task]
    return ["task", "accuracy", "task accuracy"][:shown], rows


def prototypes(
    archive: options.Archive,
    data: options.Data = None,
    features: Annotated[
        int | None,
        typer.Option(help="Numbers a class is known by; by default the archive's, or 248."),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Take the output of this module of the unmasked network, not the input."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Measure tasks again that have prototypes.")
    ] = False,
    net: options.TrustedNet = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what each task's training images look like, to find the task of single images."""
    from supsup.inference.prototypes import FeatureRecipe

    recipe = None
    if features is not None or layer is not None:
        recipe = FeatureRecipe(layer=layer, **({} if features is None else {"size": features}))
    with (
        MaskArchive.open(archive, "a") as opened,
        task_progress("measuring", len(opened), quiet=quiet) as report,
    ):
        backbone = supsup.archives.backbone_of(
            opened, device=supsup.archives.parse_device(device), trusted_net=net
        )
        measured = supsup.archives.measure_prototypes(
            opened, backbone, recipe, rebuild=rebuild, data_dir=data, on_task=report
        )
        sizes = archive_stats(opened)
    if as_json:
        print_json(
            {
                "measured": measured,
                "tensor_bytes_per_task": sizes.tensor_bytes_per_task,
                "shared_bytes": sizes.shared_bytes,
            }
        )
        return
    print_line(
        f"{archive}: prototypes of {measured} tasks measured; tensors take "
        f"{sizes.tensor_bytes_per_task:,.0f} bytes a task and {sizes.shared_bytes:,} for all"
    )
