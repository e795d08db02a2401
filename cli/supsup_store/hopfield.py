"""Commands on Hopfield memories: encode, recover, compare."""

from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

import supsup
from maskstore import MaskArchive
from maskstore.interchange import require_mask_file, save_masks
from maskstore.selection import select_from
from maskstore.storage.atomic import require_free
from supsup.choices import HopfieldFormName, HopfieldRuleName, RecoveryName
from supsup_store import options
from supsup_store.console import counted, print_json, print_line, print_table
from supsup_store.options import among, listed
from supsup_store.progress import progress_bar, task_progress

Memory = Annotated[Path, typer.Argument(metavar="MEMORY", help="A memory file of `encode`.")]
Rule = Annotated[
    str,
    typer.Option(
        help=f"Learning rule: {listed(HopfieldRuleName)}.",
        autocompletion=among(HopfieldRuleName),
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (encode, recover, compare):
        app.command()(command)


def encode(
    archive: options.Archive,
    out: Annotated[Path, typer.Option(help="The memory file to write.")],
    rule: Rule = "projection",
    form: Annotated[
        str | None,
        typer.Option(
            help=f"{listed(HopfieldFormName)}; by default the rule's own.",
            autocompletion=among(HopfieldFormName),
        ),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Bits of a synapse (1, 2, 4 or 8); float32 without.")
    ] = None,
    task: options.TaskPattern = None,
    net: options.TrustedNet = None,
    device: options.Device = "cpu",
    data: options.Data = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write all masks of an archive, or some, into one Hopfield memory of fixed size."""
    require_free(out, overwrite=force)
    place = supsup.archives.parse_device(device)
    with ExitStack() as stack:
        opened = select_from(stack.enter_context(MaskArchive.open(archive)), task)
        report = stack.enter_context(task_progress("encoding", len(opened), quiet=quiet))
        made = supsup.recovery.encode_archive(
            opened,
            rule=rule,
            form=form,
            bits=bits,
            device=place,
            trusted_net=net,
            data_dir=data,
            on_task=report,
        )
        archive_bytes = opened.file_bytes
    size = made.save(out)
    if as_json:
        print_json(
            {
                "memory": str(out),
                "rule": made.memory.rule,
                "form": made.memory.form,
                "tasks": made.memory.count,
                "units": made.memory.size,
                "bytes": size,
                "archive_bytes": archive_bytes,
                "accept": {task.name: task.accept for task in made.tasks},
            }
        )
    else:
        print_line(
            f"{out}: {counted(made.memory.count, 'mask')} of {made.memory.size:,} bits in "
            f"{size:,} bytes, "
            f"rule {made.memory.rule} ({made.memory.form}); the archive has {archive_bytes:,} bytes"
        )


def recover(
    memory: Memory,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Unlabelled images: .npy, .npz, IDX or a folder of pictures. With --dataset, the "
            "folder of its files, or your own images.",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Take half of the test images of a task of this data set.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task, such as split-mnist/1.")] = None,
    archive: Annotated[
        str | None, typer.Option(help="Archive of the masks, only to count bits that differ.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the mask here: .npz or .safetensors.")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help=f"{listed(RecoveryName)}: the paper's equation 6 by the letter, one pass over the "
            "images, for memories of rule storkey and form blocks.",
            autocompletion=among(RecoveryName),
        ),
    ] = "annealed",
    net: options.TrustedNet = None,
    device: options.Device = "cpu",
    plot: options.Plot = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Recover the mask that fits unlabelled images, from the memory alone."""
    options.check_plot(plot)
    if out is not None:
        require_mask_file(out, overwrite=force)
    found = supsup.recovery.recover_from(
        memory,
        data=data,
        dataset=dataset,
        task=task,
        archive=archive,
        recipe=recipe,
        device=device,
        trusted_net=net,
    )
    document = found.document
    if out is not None:
        save_masks(out, found.masks)
    if plot is not None:
        from supsup.recovery.plots import plot_recovery  # matplotlib, too

        plot_recovery(document["trajectory"], document["task"], plot)
    if as_json:
        print_json(document)
        return
    if document["known"] is False:
        print_line(
            f"unknown: no stored mask is as certain as on data of its own task; the best has "
            f"entropy {document['entropy']:.3f} (margin {_number(document['margin'])})"
        )
    else:
        print_line(
            f"{document['task'] or 'a mask that no task has'}: entropy {document['entropy']:.3f}, "
            f"margin {_number(document['margin'])}, {document['steps']} steps, "
            f"{document['restarts']} restarts, bits that differ {_number(document['hamming'])}"
        )


def compare(
    dataset: options.Dataset,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of archives and memories; by default of the data's name."
        ),
    ] = None,
    net: options.Net = "bn-2048",
    outputs: options.Outputs = 10,
    weights: options.Weights = None,
    weights_for: options.WeightsFor = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    tasks: options.Tasks = None,
    steps: Annotated[int | None, typer.Option(help="Training steps a task.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or passes (default 1, the paper's).")] = None,
    labels: options.Labels = None,
    ways: options.Ways = None,
    size: options.Size = None,
    rule: Rule = "projection",
    same_data: Annotated[
        bool,
        typer.Option("--same-data", help="Recover on the test set that is scored, as the paper."),
    ] = False,
    device: options.Device = "cpu",
    data: options.Data = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Explicit storage against a Hopfield memory: accuracy, exactness, bytes, by seed and task."""
    numbers = options.parse_numbers("--seeds", seeds)
    options.check_plot(plot)
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task("comparing", total=None)
        document = supsup.recovery.compare_family(
            dataset,
            Path(dataset) if out is None else out,
            net=net,
            outputs=outputs,
            weights=weights,
            weights_for=tuple(weights_for or ()),
            tasks=tasks,
            steps=steps,
            epochs=epochs,
            labels=labels,
            ways=ways,
            size=size,
            seeds=numbers,
            rule=rule,
            disjoint=not same_data,
            device=device,
            data_dir=data,
            on_seed=lambda seed, runs: bar.update(shown, total=runs, description=f"seed {seed}"),
            on_run=lambda name: bar.update(shown, advance=1, description=name),
        )
    runs = document["runs"]
    if plot is not None:
        from supsup.recovery.plots import plot_comparison

        plot_comparison(runs, plot)
    if as_json:
        print_json(document)
        return
    print_table(
        ("seed", "task", "explicit", "Hopfield", "bits that differ", "batches", "seconds"),
        [
            [
                run[key]
                for key in (
                    "seed",
                    "task",
                    "explicit_accuracy",
                    "hopfield_accuracy",
                    "hamming",
                    "batches",
                    "seconds",
                )
            ]
            for run in runs
        ],
        title=f"accuracy with the stored and with the recovered mask, rule {rule}",
        least_wanted=("seconds", "batches", "bits that differ", "seed"),
    )
    print_line(
        f"exact {sum(run['exact'] for run in runs)} of {len(runs)}; mean accuracy "
        f"{fmean(run['explicit_accuracy'] for run in runs):.4f} explicit, "
        f"{fmean(run['hopfield_accuracy'] for run in runs):.4f} Hopfield"
    )
    print_line(
        f"bytes: archive {document['explicit_bytes']:,}, memory {document['hopfield_bytes']:,}, "
        f"dense models {document['dense_bytes']:,}"
    )


def _number(value: Any) -> str:
    if value is None:
        return "not known"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
