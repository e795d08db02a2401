"""nns: tasks that nobody names, not even in training (NNs), beside the same with names (GNu)."""

from pathlib import Path
from statistics import fmean

from maskstore.archive import MaskArchive
from supsup.archives import backbone_of, make_folder, open_or_create
from supsup.archives.tasks import recipe_of
from supsup.evaluation import NNS, evaluate_inferred
from supsup.figures.base import Row, counts_up_to, paper_training
from supsup.figures.curves import CurveFigure
from supsup.figures.curves_of_methods import inferred
from supsup.figures.sizes import Sizes
from supsup.figures.workspace import Workspace
from supsup.inference import MaskBank
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.task_free import Learner, LearnerCheckpoint, learn_into, task_stream
from supsup.tasks import TaskRecipe, task_family

METHOD, OBJECTIVE = "one-shot", "entropy"


class NnsFigure(CurveFigure):
    """Every task is seen for as many batches as a mask learns from (section 4.3); the learner is
    not told when the next one begins."""

    name = "nns"
    title = "PermutedMNIST without task identities (NNs) and with them in training (Figure 4)"
    rule = "permuted"
    paper = Sizes(
        dataset="permuted-mnist", tasks=2500, net="lenet-300-100", outputs=(500,), steps=1000
    )
    small = Sizes(
        dataset="permuted-mnist-sample",
        tasks=10,
        net="lenet-300-100",
        outputs=(500,),
        steps=1000,
        images=100,
    )
    other = (
        "a mask is allocated by the loss (docs/results/nns.md), not where the gradient is uniform",
    )
    x = "tasks"
    logarithmic = True

    def measure(self, sizes: Sizes, workspace: Workspace) -> list[Row]:
        rows: list[Row] = []
        for seed in sizes.seeds:
            recipes = task_family(sizes.dataset, sizes.tasks, seed=seed)
            network = BackboneRecipe(
                net=sizes.net, outputs=sizes.one_output, seed=seed, statistics="batch"
            )
            named = workspace.trained(
                sizes.dataset, recipes, network, paper_training(sizes.steps, seed)
            )
            tasks = workspace.tasks(recipes, sizes.images, seed)
            with MaskArchive.open(learnt(sizes, recipes, network, workspace)) as archive:
                backbone = backbone_of(archive, device=workspace.device)
                owners = [recipe_of(archive, stored).name for stored in archive]
                masks = archive.packed()
            for count in counts_up_to(sizes.tasks):
                first = {recipe.name for recipe in recipes[:count]}
                # What the learner had after so many tasks: the stream visits each but once.
                then = [at for at, owner in enumerate(owners) if owner in first]
                unnamed = evaluate_inferred(
                    NNS,
                    MaskBank(backbone, masks.select(then), classes=tasks[0].classes),
                    tasks[:count],
                    [owners[at] for at in then],
                    method=METHOD,
                    objective=OBJECTIVE,
                )
                found = {
                    "SupSup (GNu, H)": fmean(
                        inferred(named, tasks[:count], method=METHOD, objective=OBJECTIVE)
                    ),
                    "SupSup (NNs, H)": unnamed.accuracy,
                }
                rows += [
                    {"seed": seed, "curve": curve, "tasks": count, "accuracy": accuracy}
                    for curve, accuracy in found.items()
                ]
        return rows


def learnt(
    sizes: Sizes, recipes: list[TaskRecipe], network: BackboneRecipe, workspace: Workspace
) -> Path:
    """The archive of a stream's masks; what is there of it is gone on with."""
    config = paper_training(sizes.steps, network.seed)
    path = workspace.archive(f"{sizes.dataset}-{sizes.tasks}-nns", network, config)
    checkpoint = LearnerCheckpoint(
        path,
        {
            "dataset": sizes.dataset,
            "tasks": sizes.tasks,
            "network": network.to_json(),
            "training": config.to_json(),
        },
    )
    make_folder(path.parent)
    backbone = build(network)
    with open_or_create(path, backbone) as archive:
        if len(archive) and not checkpoint.folder.exists():
            return path  # learnt to the end
        tasks = workspace.tasks(recipes, 1, network.seed)
        learner = Learner(
            backbone.to(workspace.device),
            config,
            classes=max(task.classes for task in tasks),
        )
        stream = task_stream(
            tasks, least=sizes.steps, most=sizes.steps, batch=config.batch, seed=network.seed
        )
        for _ in learn_into(archive, learner, stream, codec="fast", checkpoint=checkpoint):
            workspace.report("learning without names", len(archive), len(tasks))
    return path
