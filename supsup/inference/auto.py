"""``auto``: the method for an archive, with the reason, and the objective."""

from supsup.inference.bank import SPARSE_DENSITY, MaskBank
from supsup.inference.methods import Exhaustive, Hybrid, Method, Prototypes
from supsup.inference.objectives import Entropy, Superfluous

AUTO_OBJECTIVE = Entropy(temperature=1.5)
"""Softened entropy: masks of other tasks that are nearly certain of an image no longer tie with the
right one. Among 250 PermutedMNIST masks it finds the task of each of 360 single images, where H
finds 95.3% and G 99.7%; on SplitMNIST, where G fails (20%), it does as well as H (54%). Higher
temperatures do worse there (docs/results/task_inference.md)."""

FEW = 32
"""Masks that are tried one by one whatever their size: the price of a hybrid's shortlist."""

EXHAUSTIVE_BYTES = 2**31
"""Unpacked weights of all masks up to which each is tried: about a second on two cores."""

MANY_IMAGES = 32
"""Images, each on its own, from which trying every mask is no dearer than their gradients: both
are (images × masks × weights) products."""


def choose(bank: MaskBank, *, images: int, mode: str) -> tuple[Method, str]:
    """The method and why, in one line, for so many images at a time.

    Where every task has prototypes, they decide, at the price of one matrix product: they know what
    the tasks' data look like (docs/results/prototypes.md).

    Every mask is tried where that is affordable: how One-Shot does depends on how the masks were
    trained, down to never (docs/results/sparse_inference.md), and that does not show in the masks.
    Where One-Shot makes a shortlist, G makes it where outputs are spare: its gradient finds the
    right mask more often than that of any H (docs/results/task_inference.md).
    """
    count = len(bank)
    if bank.prototypes is not None:
        return (
            Prototypes(),
            f"all {count} tasks have prototypes, which err least where tasks are alike",
        )
    if bank.class_counts is not None:
        return Exhaustive(), "tasks differ in their number of classes: each is tried over its own"
    if count <= FEW or 4 * bank.source.layout.bits * count <= EXHAUSTIVE_BYTES:
        return Exhaustive(), (
            f"{count} masks are few enough to try each" if count > 1 else "the only mask is tried"
        )
    if bank.sparse is not None:
        return Exhaustive(), (
            f"density {bank.density:.1%} is below {SPARSE_DENSITY:.0%}: all {count} masks have the "
            f"weights of {bank.density * count:.0f} dense networks"
        )
    looked = bank.backbone.probed
    if mode == "image" and looked is not None and looked.mixes_images:
        return Exhaustive(), (
            f"the network takes statistics of the batch, and one image's gradient has none: all "
            f"{count} masks are tried"
        )
    if mode == "image" and images >= MANY_IMAGES:
        return Exhaustive(), (
            f"{images} images, each on its own: their gradients would cost as much as trying "
            f"all {count} masks, which errs less"
        )
    spare = bank.spare_outputs
    method = Hybrid(lists_by=Superfluous() if spare else AUTO_OBJECTIVE)
    by = f"G of {spare} superfluous outputs" if spare else f"H at {AUTO_OBJECTIVE.temperature:g}"
    return method, (
        f"{count} masks of density {bank.density:.1%}: One-Shot with {by} names "
        f"{method.shortlist}, and each of them is tried"
    )
