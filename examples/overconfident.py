"""Where task inference fails: masks that are sure of themselves on digits they have never seen.

SplitMNIST: the mask of "0 or 1" has nothing else to answer when it is shown a 7, and answers with
confidence. That its entropy is low then says little about the task. A temperature does not help: it
takes confidence from the right and the wrong mask alike. Neither do outputs to spare: a 7 is so
like the digits of training that they stay quiet. Images that belong together can decide together:
the right mask is sure of all of them, a wrong one of most.
"""

import torch

from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, evaluate_archive, train_into
from supsup.datasets import load
from supsup.evaluation import GNU, evaluate_inferred
from supsup.inference import Energy, Entropy, Superfluous
from supsup.tasks import make_task, task_family


def main() -> None:
    """How sure a wrong mask is; task accuracy by objective, temperature and images together."""
    digits = load("mnist-sample")
    tasks = [make_task(recipe, digits) for recipe in task_family("split-mnist-sample")]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=20, seed=0))
    with create_archive("split.h5", backbone) as archive:
        train_into(archive, backbone, tasks, TrainConfig(steps=60))
        given = evaluate_archive(archive, backbone).accuracy
        bank, mask = bank_of(archive, backbone), backbone.tensors(archive.get(tasks[0].name))
    x, _ = tasks[3].test_batch(torch.arange(100))
    sure = (backbone.logits(x, mask).softmax(1).amax(1) > 0.9).float().mean()
    print(f"task given: {given:.3f} of the classes are right")
    print(f"the mask of 0 or 1 is over 90% sure of its answer on {sure:.0%} of images of 6 or 7")
    found = {}
    for objective in (Entropy(), Entropy(temperature=3.0), Energy(), Superfluous()):
        for batch, mode in ((100, "image"), (20, "batch")):
            score = evaluate_inferred(
                GNU, bank, tasks, objective=objective, mode=mode, batch=batch, batches=200 // batch
            )
            found[objective, mode, batch] = score.task_accuracy
            images = 1 if mode == "image" else batch
            print(
                f"  {objective.name}, temperature {objective.temperature:g}, {images:2} images: "
                f"task {score.task_accuracy:.3f}, class {score.accuracy:.3f}"
            )
    assert found[Entropy(), "image", 100] < 0.8 < given
    assert found[Entropy(), "batch", 20] > found[Entropy(), "image", 100] + 0.1


if __name__ == "__main__":
    main()
