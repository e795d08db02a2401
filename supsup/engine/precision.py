"""The precision of matrix products, for the time of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from maskstore.errors import InvalidInput


@contextmanager
def precision_on(device: torch.device, precision: str) -> Iterator[None]:
    """Matrix products of float32 as they are, or as TF32 (10 bits of mantissa) if asked for.

    Convolutions on CUDA follow PyTorch's ``torch.backends.cudnn``, which allows TF32 by default.

    Raises:
        InvalidInput: TF32 on a device that has none.
    """
    if precision != "tf32":
        yield
        return
    if device.type != "cuda":
        raise InvalidInput(f"precision tf32 is for CUDA devices, not {device}; take bfloat16")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
