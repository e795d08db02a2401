"""``auto``: the method for an archive, with the reason."""

from supsup.inference.bank import SPARSE_DENSITY, MaskBank
from supsup.inference.methods import Exhaustive, Hybrid, Method

FEW = 32
"""Masks that are tried one by one: about the price of a hybrid's shortlist and its gradient."""

MANY_IMAGES = 32
"""Images, each on its own, from which trying every mask is no dearer than their gradients: both
are (images × masks × weights) products."""


def choose(bank: MaskBank, *, images: int, mode: str) -> tuple[Method, str]:
    """The method and why, in one line, for so many images at a time."""
    count = len(bank)
    if count <= FEW:
        return Exhaustive(), f"{count} masks are few enough to try each"
    if bank.sparse is not None:
        return Exhaustive(), (
            f"density {bank.density:.1%} is below {SPARSE_DENSITY:.0%}: all {count} masks have the "
            f"weights of {bank.density * count:.0f} dense networks, and One-Shot is unreliable on "
            "sparse masks"
        )
    if mode == "image" and images >= MANY_IMAGES:
        return Exhaustive(), (
            f"{images} images, each on its own: their gradients would cost as much as trying "
            f"all {count} masks, which errs less"
        )
    method = Hybrid()
    return method, (
        f"{count} masks of density {bank.density:.1%}: One-Shot names {method.shortlist}, "
        "and each of them is tried"
    )
