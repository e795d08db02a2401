"""rotated-mnist: accuracy at each angle, the task found from whole batches by Binary."""

from supsup.figures.base import Row, paper_training
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

COMPARED = {**TOLD_THE_TASK, "lower-bound": ("lower bound", "rmsprop")}


class RotatedFigure(CurveFigure):
    """Tasks that differ by 10° only (section 4.2), measured after all of them are learnt."""

    name = "rotated-mnist"
    title = "RotatedMNIST by angle, task inferred by Binary from full batches (Figure 5, left)"
    rule = "rotated"
    paper = Sizes(
        dataset="rotated-mnist",
        tasks=36,
        net="fc-1024-1024",
        outputs=(200,),
        steps=1000,
    )
    small = Sizes(
        dataset="rotated-mnist-sample",
        tasks=12,
        net="lenet-300-100",
        outputs=(200,),
        steps=500,
        images=512,
    )
    other = (
        UPPER_BOUND_OTHER,
        PSP_OTHER,
        "images are turned by bilinear sampling, in the paper's code by nearest neighbour",
    )
    x = "degrees"

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        outputs = sizes.one_output
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
                "SupSup (GNu, H, Binary, full batch)": inferred(
                    trained, tasks, method="binary", objective="entropy", mode="batch"
                )
            }
            for other, (label, optimizer) in COMPARED.items():
                (after,) = baseline(
                    other,
                    tasks,
                    [len(tasks)],
                    sizes=sizes,
                    seed=seed,
                    workspace=workspace,
                    optimizer=optimizer,
                    lr=1e-4,
                )
                curves[label] = after.accuracies
            rows += [
                {
                    "seed": seed,
                    "curve": curve,
                    "degrees": recipe.index * recipe.options["degrees"],
                    "accuracy": accuracy,
                }
                for curve, found in curves.items()
                for recipe, accuracy in zip(recipes, found, strict=True)
            ]
        return rows
