"""transfer: what starting from the mean of earlier masks or scores gains, by training steps."""

from statistics import fmean

from maskstore.errors import InvalidInput
from supsup.figures.base import EDGE_POPUP_OTHER, Row, edge_popup
from supsup.figures.curves import CurveFigure
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.networks.recipe import BackboneRecipe
from supsup.tasks import task_family

STARTS = {
    "none": "SupSup",
    "masks": "SupSup Transfer (mean of masks)",
    "scores": "SupSup Transfer (mean of scores)",
}


class TransferFigure(CurveFigure):
    """Tasks learnt one after another by edge-popup (section 4.1), and the mean accuracy of all but
    the first, the task given, for a tenth, a quarter, half and all of the steps."""

    name = "transfer"
    title = "Transfer: accuracy of later tasks by training steps"
    rule = "rotated"
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
        dataset="rotated-mnist-sample",
        tasks=5,
        net="lenet-300-100",
        outputs=(10,),
        steps=200,
        seeds=(0, 1, 2),
    )
    other = (EDGE_POPUP_OTHER,)
    x = "steps"

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        if sizes.tasks < 2:
            raise InvalidInput(f"tasks: transfer needs at least 2, got {sizes.tasks}")
        rows: list[Row] = []
        for seed in sizes.seeds:
            recipes = task_family(sizes.dataset, sizes.tasks, seed=seed)
            for start, label in STARTS.items():
                for steps in sorted({max(1, sizes.steps // part) for part in (10, 4, 2, 1)}):
                    trained = workspace.trained(
                        sizes.dataset,
                        recipes,
                        BackboneRecipe(
                            net=sizes.net, outputs=sizes.one_output, seed=seed, statistics="batch"
                        ),
                        edge_popup(steps, seed, transfer=start),
                    )
                    rows.append(
                        {
                            "seed": seed,
                            "curve": label,
                            "steps": steps,
                            "accuracy": fmean(trained.accuracies[1:]),
                        }
                    )
        return rows
