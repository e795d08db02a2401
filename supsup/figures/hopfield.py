"""Figures of recovery from a Hopfield memory: the paper's appendix B, by step and by seed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hopfield import pattern_of
from maskstore import MaskArchive
from supsup.archives import tasks_of
from supsup.figures.base import PaperFigure, Row
from supsup.figures.curves import CurveFigure
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.networks.recipe import BackboneRecipe
from supsup.recovery.compare import compare_seed
from supsup.recovery.encode import encode_archive
from supsup.recovery.plots import plot_comparison
from supsup.tasks import task_family
from supsup.tasks.subset import hold_out
from supsup.training.config import TrainConfig

_PAPER = Sizes(
    dataset="split-mnist",
    tasks=5,
    net="bn-2048",
    outputs=(10,),
    steps=94,  # an epoch of some 12,000 images
)
_OTHER = (
    "the memory learns by projection, and the entropy's slope goes through it (docs/recovery.md)",
    "a mask is recovered from one half of its test set, and scored on the other",
)


class HopfieldFigure(CurveFigure):
    """Distance to the right mask at every step of a recovery."""

    name = "hopfield"
    title = "Recovery from a Hopfield memory: bits that differ, by step (Figure 7)"
    rule = "split"
    sampled = False
    paper = _PAPER
    small = replace(_PAPER, dataset="split-mnist-sample")
    other = _OTHER
    x = "step"
    y = "hamming"

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        for path in _archives(sizes, workspace):
            with MaskArchive.open(path) as archive:
                known = encode_archive(
                    archive, device=workspace.device, data_dir=workspace.data_dir
                )
                assert known.backbone.recipe is not None
                seed = known.backbone.recipe.seed
                for done, task in enumerate(tasks_of(archive, workspace.data_dir), start=1):
                    found = known.recover(hold_out(task, seed=seed)[0])
                    truth = pattern_of(archive.get(task.name), archive.layout)
                    rows += [
                        {"seed": seed, "curve": task.name, "step": step, "hamming": bits}
                        for step, bits in enumerate(found.hamming(truth))
                    ]
                    workspace.report("recovering", done, len(archive))
        return rows


class HopfieldSeedsFigure(PaperFigure):
    """Accuracy with the stored and with the recovered mask, for many seeds."""

    name = "hopfield-seeds"
    title = "SplitMNIST with and without a Hopfield memory, by seed (appendix B)"
    rule = "split"
    sampled = False
    paper = replace(_PAPER, seeds=tuple(range(20)))
    small = replace(_PAPER, dataset="split-mnist-sample", seeds=(0, 1, 2, 3, 4))
    other = _OTHER

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        total = sizes.tasks * len(sizes.seeds)
        names: list[str] = []

        def one_more(name: str) -> None:
            names.append(name)
            workspace.report("recovering", len(names), total)

        for path in _archives(sizes, workspace):
            runs, _ = compare_seed(
                path,
                rule="projection",
                disjoint=True,
                data_dir=workspace.data_dir,
                device=workspace.device,
                on_run=one_more,
            )
            rows += [asdict(run) for run in runs]
        return rows

    def table(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    def draw(self, rows: Sequence[Row], path: Path) -> None:
        plot_comparison(rows, path)


def _archives(sizes: Sizes, workspace: Workspace) -> Iterator[Path]:
    """The masks of each seed; all of an archive go into one memory, so it has no others."""
    for seed in sizes.seeds:
        yield workspace.train(
            f"{sizes.dataset}-{sizes.tasks}",
            task_family(sizes.dataset, sizes.tasks, seed=seed),
            BackboneRecipe(net=sizes.net, outputs=sizes.one_output, seed=seed, statistics="batch"),
            TrainConfig(steps=sizes.steps, seed=seed),
        )
