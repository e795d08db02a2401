"""bytes: accuracy against everything that must be kept, the task given."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from maskstore.archive import MaskArchive
from supsup.archives.tasks import accuracy_of
from supsup.figures.base import EDGE_POPUP_OTHER, PaperFigure, Row, edge_popup
from supsup.figures.curves_of_methods import UPPER_BOUND_OTHER, baseline
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.networks.recipe import BackboneRecipe
from supsup.plots import curve_styles, drawing
from supsup.tasks import task_family

DENSITIES = (0.05, 0.1, 0.25, 0.5)

STARTS = {"none": "SupSup", "masks": "SupSup Transfer"}

OTHERS = {
    "separate-heads": ("separate heads", 1e-3),
    "separate-heads-random": ("separate heads, random W", 1e-2),
    "batche": ("BatchE", 1e-3),
    "upper-bound": ("upper bound", 1e-3),
}
"""Those beside SupSup: label, and Adam's rate in the paper's code, but for BatchE's."""


class BytesFigure(PaperFigure):
    """SupSup at several densities beside what trains weights (section 4.1). For the paper's data
    give ``split-cifar100``, ``resnet18``, 5 outputs, 20 tasks and 1,953 steps."""

    name = "bytes"
    title = "Accuracy against bytes, task given (Figure 2, right)"
    rule = "split"
    any_rule = True
    sampled = False
    paper = Sizes(
        dataset="split-cifar100",
        tasks=20,
        net="resnet18",
        outputs=(5,),
        steps=1953,  # 100 epochs of 2,500 images
        seeds=(0, 1, 2, 3, 4),
    )
    small = Sizes(
        dataset="split-mnist-sample", tasks=5, net="lenet-300-100", outputs=(2,), steps=200
    )
    other = (
        EDGE_POPUP_OTHER,
        "bytes of SupSup are the whole archive's; the paper counts indices of 16 bits",
        UPPER_BOUND_OTHER,
        "baselines take SupSup's steps at a constant rate; the paper's code has 250 epochs with "
        "cosine decay for them, and 100 for SupSup",
        "BatchE trains its weights on the first task, its vectors at 1e-2 from the second on; the "
        "paper's code leaves the weights random and trains the vectors at 0.1",
    )

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        for seed in sizes.seeds:
            recipes = task_family(sizes.dataset, sizes.tasks, seed=seed)
            network = BackboneRecipe(
                net=sizes.net, outputs=sizes.one_output, seed=seed, statistics="batch"
            )
            for start, label in STARTS.items():
                for density in DENSITIES:
                    config = edge_popup(sizes.steps, seed, transfer=start, density=density)
                    # An archive of just these tasks: its bytes are counted.
                    family = f"{sizes.dataset}-{sizes.tasks}"
                    path = workspace.train(family, recipes, network, config, codec="auto")
                    with MaskArchive.open(path) as archive:
                        accuracies = [accuracy_of(archive, stored) for stored in archive]
                        size = archive.file_bytes
                    rows.append(_row(seed, label, density, size, accuracies))
            tasks = workspace.tasks(recipes, None, seed)
            for other, (label, lr) in OTHERS.items():
                (after,) = baseline(
                    other,
                    tasks,
                    [len(tasks)],
                    sizes=sizes,
                    seed=seed,
                    workspace=workspace,
                    optimizer="adam",
                    lr=lr,
                )
                rows.append(_row(seed, label, None, after.bytes, after.accuracies))
        return rows

    def table(self, rows: Sequence[Row]) -> list[Row]:
        """A line for each method and density, the mean over seeds."""
        points: dict[tuple[str, float | None], list[Row]] = {}
        for row in rows:
            points.setdefault((row["curve"], row["density"]), []).append(row)
        return [
            {
                "curve": curve,
                "density": density,
                "bytes": round(fmean(row["bytes"] for row in of)),
                "accuracy": fmean(row["accuracy"] for row in of),
            }
            for (curve, density), of in points.items()
        ]

    def draw(self, rows: Sequence[Row], path: Path) -> None:
        lines = self.table(rows)
        styles = curve_styles([line["curve"] for line in lines])
        with drawing(path) as figure:
            axes = figure.subplots()
            for curve, style in styles.items():
                of = [line for line in lines if line["curve"] == curve]
                accuracies = [100 * line["accuracy"] for line in of]
                axes.plot([line["bytes"] for line in of], accuracies, label=curve, **style)
            axes.set_xscale("log")
            axes.set(xlabel="bytes of all tasks", ylabel="test accuracy, %")
            axes.legend()
            figure.suptitle(self.title)


def _row(
    seed: int, curve: str, density: float | None, size: int, accuracies: Sequence[float]
) -> Row:
    return {
        "seed": seed,
        "curve": curve,
        "density": density,
        "bytes": size,
        "accuracy": fmean(accuracies),
    }
