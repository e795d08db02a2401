"""permuted-mnist: accuracy by number of permutations, beside methods that are told the task."""

from dataclasses import replace
from statistics import fmean

from supsup.figures.base import Row, counts_up_to, paper_training
from supsup.figures.curves import CurveFigure
from supsup.figures.curves_of_methods import (
    PSP_OTHER,
    TOLD_THE_TASK,
    UPPER_BOUND_OTHER,
    baseline,
    inferred,
)
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import task_family


class PermutedFigure(CurveFigure):
    """One-Shot on single images with H and with G (section 4.2); for the right panel give
    ``fc-1024-1024`` and 500 outputs."""

    name = "permuted-mnist"
    title = "PermutedMNIST, task inferred by One-Shot from single images (Figure 3)"
    rule = "permuted"
    paper = Sizes(
        dataset="permuted-mnist",
        tasks=250,
        net="lenet-300-100",
        outputs=(100,),
        steps=1000,
    )
    panels = (replace(paper, net="fc-1024-1024", outputs=(500,)),)
    small = Sizes(
        dataset="permuted-mnist-sample",
        tasks=10,
        net="lenet-300-100",
        outputs=(100,),
        steps=1000,
        images=100,
    )
    other = (UPPER_BOUND_OTHER, PSP_OTHER)
    x = "tasks"
    logarithmic = True

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        outputs = sizes.one_output
        counts = counts_up_to(sizes.tasks)
        for seed in sizes.seeds:
            recipes = task_family(sizes.dataset, sizes.tasks, seed=seed)
            trained = workspace.trained(
                sizes.dataset,
                recipes,
                BackboneRecipe(net=sizes.net, outputs=outputs, seed=seed, statistics="batch"),
                paper_training(sizes.steps, seed),
            )
            tasks = workspace.tasks(recipes, sizes.images, seed)
            curves = {
                f"SupSup (GNu, {letter})": [
                    inferred(trained, tasks[:count], method="one-shot", objective=objective)
                    for count in counts
                ]
                for letter, objective in (("H", "entropy"), ("G", "superfluous"))
            }
            for other, (label, optimizer) in TOLD_THE_TASK.items():
                after = baseline(
                    other,
                    tasks,
                    counts,
                    sizes=sizes,
                    seed=seed,
                    workspace=workspace,
                    optimizer=optimizer,
                    lr=1e-4,
                )
                curves[label] = [each.accuracies for each in after]
            rows += [
                {"seed": seed, "curve": curve, "tasks": count, "accuracy": fmean(by_task)}
                for curve, found in curves.items()
                for count, by_task in zip(counts, found, strict=True)
            ]
        return rows
