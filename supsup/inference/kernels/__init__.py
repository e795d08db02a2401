"""Kernels on packed masks. They know nothing of networks.

Wherever a row of packed bits has ``bytes`` bytes, the *flat row* is the float32 row of
``8 * bytes`` numbers that lies over it, one a bit, padding included
(:mod:`supsup.inference.kernels.base`).
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from supsup._lazy import lazy_names
from supsup.inference.kernels.aligned import AlignedLayers, MixedRows
from supsup.inference.kernels.base import Kernels
from supsup.inference.kernels.sparse import SparseMasks, run_sparse, sparsify
from supsup.inference.kernels.torch_ops import TorchKernels

if TYPE_CHECKING:
    from supsup.inference.kernels.cpu import CpuKernels
else:  # its loops have types of LLVM's, so numba must be there
    __getattr__, __dir__ = lazy_names(__name__, {"supsup.inference.kernels.cpu": ("CpuKernels",)})


def kernels_of(device: torch.device) -> Kernels:
    """The kernels for masks on a device: the one place where they are chosen."""
    if device.type == "cpu":
        from supsup.inference.kernels.cpu import CpuKernels

        return CpuKernels()
    if has_triton(device):
        from supsup.inference.kernels.triton_ops import TritonKernels

        return TritonKernels()
    return TorchKernels()


def has_triton(device: torch.device) -> bool:
    """Whether Triton compiles for a device here."""
    return device.type == "cuda" and find_spec("triton") is not None


def mixed_rows_of(layers: AlignedLayers, device: torch.device) -> "MixedRows[Any] | None":
    """What answers rows under masks of their own on a device; None where nothing does."""
    if device.type == "cpu":
        from supsup.inference.kernels.mixed import CpuMixedRows

        return CpuMixedRows(layers)
    if device.type == "cuda":
        from supsup.inference.kernels.mixed_device import DeviceMixedRows

        return DeviceMixedRows(layers, device)
    return None


__all__ = [
    "AlignedLayers",
    "CpuKernels",
    "Kernels",
    "MixedRows",
    "SparseMasks",
    "TorchKernels",
    "has_triton",
    "kernels_of",
    "mixed_rows_of",
    "run_sparse",
    "sparsify",
]
