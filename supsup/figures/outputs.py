"""outputs: how the width of the last layer decides whether the task is found, with H and with G."""

from dataclasses import replace
from statistics import fmean

from supsup.figures.base import Row, counts_up_to, paper_training
from supsup.figures.curves import CurveFigure
from supsup.figures.curves_of_methods import inferred
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import task_family


class OutputsFigure(CurveFigure):
    """Superfluous neurons (sections 3.6 and 4.2): a training for each number of outputs."""

    name = "outputs"
    title = "PermutedMNIST by output size s, One-Shot, single images (Figure 6)"
    rule = "permuted"
    paper = Sizes(
        dataset="permuted-mnist",
        tasks=250,
        net="lenet-300-100",
        outputs=(25, 100, 200),
        steps=1000,
    )
    panels = (replace(paper, net="fc-1024-1024"),)
    small = Sizes(
        dataset="permuted-mnist-sample",
        tasks=10,
        net="lenet-300-100",
        outputs=(25, 100, 200),
        steps=1000,
        images=100,
    )
    x = "tasks"
    logarithmic = True

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        for seed in sizes.seeds:
            recipes = task_family(sizes.dataset, sizes.tasks, seed=seed)
            tasks = workspace.tasks(recipes, sizes.images, seed)
            for outputs in sizes.outputs:
                trained = workspace.trained(
                    sizes.dataset,
                    recipes,
                    BackboneRecipe(net=sizes.net, outputs=outputs, seed=seed, statistics="batch"),
                    paper_training(sizes.steps, seed),
                )
                for letter, objective in (("H", "entropy"), ("G", "superfluous")):
                    for count in counts_up_to(sizes.tasks):
                        found = inferred(
                            trained, tasks[:count], method="one-shot", objective=objective
                        )
                        rows.append(
                            {
                                "seed": seed,
                                "curve": f"s = {outputs}, {letter}",
                                "tasks": count,
                                "accuracy": fmean(found),
                            }
                        )
        return rows
