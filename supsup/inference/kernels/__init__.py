"""Kernels on packed masks. They know nothing of networks.

Wherever a row of packed bits has ``bytes`` bytes, a *frame* is the float32 row of ``8 * bytes``
numbers that lies over it, one a bit, padding included (:mod:`supsup.inference.frame`).
"""

from importlib.util import find_spec

import torch

from supsup.inference.kernels.base import Kernels
from supsup.inference.kernels.eager import Eager
from supsup.inference.kernels.processor import Processor
from supsup.inference.kernels.sparse import SparseMasks, run_sparse, sparsify


def kernels_of(device: torch.device) -> Kernels:
    """The kernels for masks on a device: the one place where they are chosen."""
    if device.type == "cpu":
        return Processor()
    if device.type == "cuda" and find_spec("triton") is not None:
        from supsup.inference.kernels.fused import Fused

        return Fused()
    return Eager()


__all__ = [
    "Eager",
    "Kernels",
    "Processor",
    "SparseMasks",
    "kernels_of",
    "run_sparse",
    "sparsify",
]
