"""The family of figures: each from beginning to end checked, trained, measured, written, drawn."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from maskstore.errors import InvalidInput
from supsup.archives import make_folder
from supsup.figures.cache import write_json
from supsup.figures.sizes import Sizes, family_at_hand
from supsup.figures.workspace import Workspace
from supsup.plots import check_ending, check_plot
from supsup.training.config import TrainConfig

Row: TypeAlias = dict[str, Any]
"""One number of a figure and what it is of; flat JSON, all rows of a figure with the same keys."""


class PaperFigure(ABC):
    """A figure of the paper.

    Attributes:
        name: what it is called on the command line.
        title: what it shows, and its number where that is known. Numbers are those of the paper at
            NeurIPS; arXiv's first version has others.
        rule: the rule of its tasks: ``permuted``, ``rotated`` or ``split``.
        any_rule: whether tasks of other rules will do.
        sampled: whether ``images`` of its sizes says on how many test images it is measured.
        paper: how large the paper ran it.
        panels: how large its further panels, on networks of their own.
        small: how large it is run here unless somebody says so: minutes on two cores. Its data set
            is chosen by what is at hand (:func:`supsup.figures.sizes.family_at_hand`).
        other: what else is not as in the paper, whatever the sizes; a line each.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rule: ClassVar[str]
    any_rule: ClassVar[bool] = False
    sampled: ClassVar[bool] = True
    paper: ClassVar[Sizes]
    panels: ClassVar[tuple[Sizes, ...]] = ()
    small: ClassVar[Sizes]
    other: ClassVar[tuple[str, ...]] = ()

    def check(self, sizes: Sizes) -> None:
        """Whether the figure is made of such sizes at all, before anything is trained.

        Raises:
            InvalidInput: tasks of another rule, or ``images`` where test sets are taken whole.
        """
        rule, _, _ = sizes.dataset.partition("-")
        if rule != self.rule and not self.any_rule:
            raise InvalidInput(
                f"--dataset {sizes.dataset}: figure {self.name} is of {self.rule} tasks, got "
                f"{rule!r}; give a family whose name begins with {self.rule}-, or leave it out"
            )
        if sizes.images is not None and not self.sampled:
            raise InvalidInput(
                f"--images {sizes.images}: figure {self.name} takes test sets whole; leave it out"
            )

    def sizes_here(self, asked: Mapping[str, Any], data_dir: Path | None) -> Sizes:
        """``small``, but for what is asked for, on the family that is at hand.

        Args:
            asked: fields of :class:`Sizes`; None leaves the figure's own.
            data_dir: see :func:`supsup.figures.sizes.family_at_hand`.

        Raises:
            InvalidInput: a field cannot be used.
        """
        given = {key: value for key, value in asked.items() if value is not None}
        if "dataset" not in given:
            given["dataset"] = family_at_hand(self.rule, data_dir)
        return replace(self.small, **given)

    def differences(self, sizes: Sizes) -> list[str]:
        """In what a figure of such sizes is not the paper's: its panel on that network, where there
        is one."""
        panels = (panel for panel in (self.paper, *self.panels) if panel.net == sizes.net)
        return [*sizes.differences(next(panels, self.paper)), *self.other]

    @abstractmethod
    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        """The figure's numbers; what must be trained is kept in the workspace's folder.

        Raises:
            InvalidInput: sizes that the figure, its data or its network do not have.
        """

    @abstractmethod
    def table(self, rows: Sequence[Row]) -> list[Row]:
        """The numbers as they are best read, line by line, all with the same keys."""

    @abstractmethod
    def draw(self, rows: Sequence[Row], path: Path) -> None:
        """Save the plot; raises as :func:`supsup.plots.drawing`."""


def paper_training(steps: int, seed: int) -> TrainConfig:
    """The training of the paper's GN and NN scenarios (section 4.2), after which One-Shot works."""
    return TrainConfig(steps=steps, optimizer="rmsprop", lr=1e-4, schedule="constant", seed=seed)


EDGE_POPUP_OTHER = "Adam begins at 3e-3 (docs/results/mnist-training.md), in the paper at 1e-3"


def edge_popup(steps: int, seed: int, *, transfer: str, density: float = 0.5) -> TrainConfig:
    """That of its scenario GG (section 4.1): edge-popup, a layer's budget by Erdős–Rényi, Adam."""
    return TrainConfig(
        steps=steps,
        rule="topk",
        density=density,
        budget="erdos-renyi",
        optimizer="adam",
        transfer=transfer,
        seed=seed,
    )


def counts_up_to(tasks: int) -> tuple[int, ...]:
    """Numbers of tasks at which a curve has its points, evenly spread on a logarithmic axis."""
    marks = (2, 5, 10, 25, 50, 100, 250, 500, 1000)
    return (*(mark for mark in marks if mark < tasks), tasks)


def reproduce(
    figure: PaperFigure,
    sizes: Sizes,
    workspace: Workspace,
    *,
    plot: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Measure a figure and write ``NAME.json`` and ``NAME.png`` into the workspace's folder.

    What is there of an earlier run with the same sizes is not trained again.

    Args:
        plot: the plot's path, in the place of the folder's.

    Returns:
        The document: the figure, its sizes, in what it differs from the paper's, its numbers.

    Raises:
        InvalidInput: sizes that the figure, its data or its network do not have, or the plot's
            ending is no picture format.
        ArchiveWriteError: the folder cannot be made or written to, or the plot cannot be saved:
            the numbers are there by then.
    """
    plot = None if plot is None else Path(plot)
    picture = plot or workspace.folder / f"{figure.name}.png"
    numbers = workspace.folder / f"{figure.name}.json"
    figure.check(sizes)
    check_ending(picture)
    make_folder(workspace.folder)
    check_plot(picture)
    start = time.perf_counter()
    rows = figure.measure(sizes, workspace)
    document = {
        "figure": figure.name,
        "title": figure.title,
        "sizes": sizes.to_json(),
        "differences": figure.differences(sizes),
        "rows": rows,
        "seconds": round(time.perf_counter() - start, 1),
        "json": str(numbers),
        "plot": str(picture),
    }
    write_json(numbers, document)
    figure.draw(rows, picture)
    return document
