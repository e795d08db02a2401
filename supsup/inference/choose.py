"""``auto``: the method for an archive, with the reason."""

from supsup.inference.bank import SPARSE_DENSITY, MaskBank
from supsup.inference.methods import Exhaustive, Hybrid, Method

FEW = 32
"""Masks that are tried one by one: about the price of a hybrid's shortlist and its gradient."""


def choose(bank: MaskBank) -> tuple[Method, str]:
    """The method and why, in one line."""
    count = len(bank)
    if count <= FEW:
        return Exhaustive(), f"{count} masks are few enough to try each"
    if bank.sparse is not None:
        return Exhaustive(), (
            f"density {bank.density:.1%} is below {SPARSE_DENSITY:.0%}: all {count} masks have the "
            f"weights of {bank.density * count:.0f} dense networks, and One-Shot is unreliable on "
            "sparse masks"
        )
    method = Hybrid()
    return method, (
        f"{count} masks of density {bank.density:.1%}: One-Shot names {method.shortlist}, "
        "and each of them is tried"
    )
