"""Masks in a Hopfield memory: one is recovered from unlabelled images, without list or archive.

The memory has the same size however many masks are in it. What leads to the right one is how
certain the network becomes about the images.
"""

import numpy as np

from hopfield import masks_of, new_memory, pattern_of, recover
from supsup import BackboneRecipe, TrainConfig, accuracy, build, train
from supsup.datasets import load
from supsup.recovery.mask_entropy import MaskEntropy
from supsup.tasks import make_task, task_family
from supsup.tasks.subset import hold_out


def main() -> None:
    """Encode three masks, forget them, and recover the one that fits the images of a task."""
    backbone = build(BackboneRecipe(net="bn-2048", outputs=10, seed=0))
    digits = load("mnist-sample")
    tasks = [make_task(recipe, digits) for recipe in task_family("split-mnist-sample", 3)]
    memory = new_memory("projection", backbone.layout.bits)
    total = np.zeros(memory.size)
    for trained in train(backbone, tasks, TrainConfig(steps=20)):
        pattern = pattern_of(trained.masks, backbone.layout)
        memory.encode(pattern)
        total += pattern
    for task in tasks:
        images, others = hold_out(task, seed=0)
        entropy = MaskEntropy(backbone, images, classes=task.classes)
        found = recover(memory, entropy, start=total / memory.count)
        masks = masks_of(found.pattern, backbone.layout)
        print(
            f"{task.name}: accuracy {accuracy(backbone, masks, others):.3f} on other images, "
            f"entropy {found.entropy:.3f}, {found.margin:.3f} below the next, "
            f"{found.batches} batches of unlabelled images"
        )


if __name__ == "__main__":
    main()
