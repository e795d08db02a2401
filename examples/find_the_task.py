"""Train three tasks, then let the data say whose they are: inference and evaluation from Python."""

import torch

from maskstore import MaskArchive
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import (
    backbone_of,
    bank_of,
    create_archive,
    evaluate_archive,
    tasks_of,
    train_into,
)
from supsup.datasets import load
from supsup.inference import Exhaustive, Superfluous, infer_in
from supsup.tasks import make_task, task_family


def main() -> None:
    """Infer the task of single images and of a batch; evaluate all scenarios."""
    digits = load("mnist-sample")
    tasks = [make_task(recipe, digits) for recipe in task_family("permuted-mnist-sample", 3)]
    network = build(BackboneRecipe(net="lenet-300-100", outputs=50, seed=0))
    with create_archive("permuted.h5", network) as archive:
        for stored in train_into(archive, network, tasks, TrainConfig(steps=150)):
            print(f"{stored.name}: {stored.bytes} bytes")

    with MaskArchive.open("permuted.h5") as archive:
        backbone = backbone_of(archive)
        bank = bank_of(archive, backbone)  # once for many calls
        images, labels = tasks[1].test_batch(torch.arange(8))
        found = infer_in(bank, images)
        print(found.reason)
        for name, answer, label, sure in zip(
            found.names, found.predictions, labels.tolist(), found.confidence, strict=True
        ):
            print(f"  {name} (confidence {sure:.3f}): {answer}, truly {label}")
        together = infer_in(
            bank, images, method=Exhaustive(), objective=Superfluous(temperature=2.0), mode="batch"
        )
        print(f"all {len(images)} together: {together.names[0]}, margin {together.margin[0]:.2f}")
        assert set(together.names) == {"permuted-mnist/1"}

        for scenario in ("GG", "GNs", "GNu"):
            score = evaluate_archive(archive, backbone, scenario=scenario)
            print(f"{scenario}: accuracy {score.accuracy:.3f}, task {score.task_accuracy:.3f}")
        assert len(list(tasks_of(archive))) == 3


if __name__ == "__main__":
    main()
