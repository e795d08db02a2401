"""Explicit storage beside a Hopfield memory: the same masks, the same data, seed by seed."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hopfield import masks_of, pattern_of
from maskstore import MaskArchive
from maskstore.stats import archive_stats
from supsup.archives import LocalEngine, make_folder, parse_device, tasks_of, train_missing
from supsup.archives.families import fitted_to
from supsup.archives.opening import NetworkOptions
from supsup.evaluation.score import accuracy
from supsup.networks.recipe import BackboneRecipe
from supsup.recovery.encode import encode_archive
from supsup.recovery.mask_memory import MaskMemory
from supsup.tasks import load_family
from supsup.tasks.subset import hold_out
from supsup.training.config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One task of one seed.

    Attributes:
        explicit_accuracy, hopfield_accuracy: under the stored and under the recovered mask, on
            the same images.
        hamming: bits in which the two differ.
        known: whether the data were held to be of a stored task; None without calibration.
        batches: forward passes of the recovery.
        seconds: it took.
    """

    seed: int
    task: str
    explicit_accuracy: float
    hopfield_accuracy: float
    hamming: int
    exact: bool
    known: bool | None
    batches: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bytes of one seed's storage: the archive's file, the memory's file, and dense models."""

    explicit: int
    hopfield: int
    dense: int


def compare_seed(
    path: str | PathLike[str],
    *,
    rule: str,
    disjoint: bool,
    data_dir: str | PathLike[str] | None,
    device: torch.device,
    trusted_net: str | None = None,
    weights: str | PathLike[str] | None = None,
    on_run: Callable[[str], None],
) -> tuple[list[Run], Sizes]:
    """Encode an archive into a file beside it, and :func:`recover_all` its masks."""
    path = Path(path)
    data_dir = None if data_dir is None else Path(data_dir)
    with MaskArchive.open(path) as archive:
        known = encode_archive(
            archive,
            rule=rule,
            device=device,
            trusted_net=trusted_net,
            weights=weights,
            data_dir=data_dir,
        )
        stored = known.save(path.with_suffix(".memory.h5"))
        stats = archive_stats(archive)
        assert stats.dense_bytes_per_task is not None
        runs = list(
            recover_all(archive, known, disjoint=disjoint, data_dir=data_dir, on_run=on_run)
        )
        sizes = Sizes(
            explicit=stats.file_bytes,
            hopfield=stored,
            dense=stats.dense_bytes_per_task * stats.tasks,
        )
    return runs, sizes


def recover_all(
    archive: MaskArchive,
    known: MaskMemory,
    *,
    disjoint: bool = True,
    data_dir: str | PathLike[str] | None = None,
    on_run: Callable[[str], None] = lambda name: None,
) -> Iterator[Run]:
    """Recover every mask of the archive from unlabelled test images, and score both masks.

    Args:
        disjoint: score on other test images than those that the mask was recovered from.
    """
    assert known.backbone.recipe is not None
    seed = known.backbone.recipe.seed
    for task in tasks_of(archive, data_dir):
        x, scored = hold_out(task, seed=seed, disjoint=disjoint)
        start = time.perf_counter()
        found = known.recover(x)
        seconds = time.perf_counter() - start
        truth = archive.get(task.name)
        hamming = int(np.count_nonzero(found.pattern != pattern_of(truth, archive.layout)))
        yield Run(
            seed=seed,
            task=task.name,
            explicit_accuracy=accuracy(known.backbone, truth, scored),
            hopfield_accuracy=accuracy(
                known.backbone, masks_of(found.pattern, archive.layout), scored
            ),
            hamming=hamming,
            exact=hamming == 0,
            known=found.known,
            batches=found.batches,
            seconds=seconds,
        )
        on_run(f"{task.name}, seed {seed}")


def comparison_json(runs: Sequence[Run], sizes: Sequence[Sizes]) -> dict[str, Any]:
    """The document of ``compare --json``; bytes are of one seed, the mean over seeds."""
    return {
        "seeds": sorted({run.seed for run in runs}),
        "runs": [asdict(run) for run in runs],
        "exact_rate": sum(run.exact for run in runs) / len(runs),
        "explicit_bytes": round(sum(size.explicit for size in sizes) / len(sizes)),
        "hopfield_bytes": round(sum(size.hopfield for size in sizes) / len(sizes)),
        "dense_bytes": round(sum(size.dense for size in sizes) / len(sizes)),
    }


def compare_family(
    family: str,
    folder: str | PathLike[str],
    *,
    net: str = "bn-2048",
    outputs: int = 10,
    weights: str | PathLike[str] | None = None,
    weights_for: Sequence[str] = (),
    tasks: int | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    labels: str | None = None,
    ways: int | None = None,
    size: int | None = None,
    seeds: Sequence[int] = (0,),
    rule: str = "projection",
    disjoint: bool = True,
    device: str = "cpu",
    data_dir: str | PathLike[str] | None = None,
    on_seed: Callable[[int, int], None] = lambda seed, runs: None,
    on_run: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Train a family for each seed, store its masks both ways, and set them side by side.

    What is in the folder of an earlier run with these settings is not trained again.

    Args:
        weights: a file of trained weights of the network; None where all are from the seed.
        weights_for: patterns of the parameters that it gives, by default all.
        tasks: how many; None for all that there are.
        steps, epochs: of each task; one epoch, the paper's, where neither is given.
        labels: of the classes of split tasks, ``shared`` or ``original``; None for the former.
        ways: classes of a split task.
        data_dir, size: see :func:`supsup.tasks.load_family`.
        disjoint: see :func:`recover_all`.
        on_seed: told each seed, and how many runs all seeds will have, before it is trained.
        on_run: told of each mask that was recovered.

    Returns:
        :func:`comparison_json`.

    Raises:
        LayoutMismatch, InvalidInput, ArchiveError: what is in the folder was made in another way,
            or cannot be written; or a setting.
    """
    folder = Path(folder)
    data_dir = None if data_dir is None else Path(data_dir)
    given = {"labels": labels, "ways": ways}
    chosen = {name: value for name, value in given.items() if value is not None}
    place = parse_device(device)
    trained = NetworkOptions(weights=weights, weights_for=tuple(weights_for))
    runs: list[Run] = []
    sizes: list[Sizes] = []
    for seed in seeds:
        recipes, images = load_family(
            family, tasks, seed=seed, options=chosen, data=data_dir, size=size
        )
        make_folder(folder)
        on_seed(seed, len(recipes) * len(seeds))
        network = trained.with_weights(
            BackboneRecipe(net=net, outputs=outputs, seed=seed, statistics="batch")
        )
        path = folder / f"{family}-{'original-' if labels == 'original' else ''}{seed}.h5"
        train_missing(
            path,
            recipes,
            network if recipes[0].own is None else fitted_to(network, recipes[0].own),
            TrainConfig(
                steps=steps, epochs=1 if steps is None and epochs is None else epochs, seed=seed
            ),
            engine=LocalEngine(device=place, dataset_of={recipes[0].dataset: images}.__getitem__),
            trusted_net=net,
        )
        more, took = compare_seed(
            path,
            rule=rule,
            disjoint=disjoint,
            data_dir=data_dir,
            device=place,
            trusted_net=net,
            weights=weights,
            on_run=on_run,
        )
        runs += more
        sizes.append(took)
    return comparison_json(runs, sizes)
