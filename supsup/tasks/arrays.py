"""From whatever a user has (tensor, numpy array, list) to a dense tensor, or one line that says no.

Nothing is guessed: what has no one meaning as numbers (sparse, ragged, masked, text, objects) is
refused by its type and shape, and values are never changed but for rounding floats to float32.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskstore.errors import InvalidInput

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
"""What a network takes: a tensor or several, each with an axis for the images in front."""

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

_WIDENED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that PyTorch hardly computes with; their numbers become int64."""


def to_tensor(value: Any, what: str) -> Tensor:
    """Numbers as a dense tensor without gradients, on the device where they are.

    Args:
        value: a tensor, a numpy array of any byte order, a number, or a list of any of them.
        what: what it is, for errors.

    Raises:
        InvalidInput: sparse, ragged, masked, quantised or complex, or no numbers at all.
    """
    if isinstance(value, Tensor):
        return _dense(value, what)
    if isinstance(value, list | tuple):
        return _dense(_stacked(value, what), what)
    pictures = sys.modules.get("PIL.Image")  # who has a picture has loaded Pillow
    if pictures is not None and isinstance(value, pictures.Image):
        raise InvalidInput(
            f"{what}: a picture (mode {value.mode}, {value.width}×{value.height}); make numbers of "
            "it first, for example with torchvision.transforms.ToTensor()"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidInput(
            f"{what}: a masked array {_about(value)}; fill or leave out what is masked"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidInput(f"{what}: expected numbers, got {_about(value)} ({error})") from error
    if array.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{what}: expected numbers, got {_about(value if array.dtype.kind == 'O' else array)}"
        )
    if array.dtype.itemsize > 8:  # long double, of which PyTorch has none
        array = array.astype(np.float64)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    # A copy where PyTorch could not share it: not writable, or strides that run backwards.
    shared = native.flags.writeable and all(stride >= 0 for stride in native.strides)
    return _dense(torch.from_numpy(native if shared else native.copy()), what)


def _dense(value: Tensor, what: str) -> Tensor:
    if value.layout != torch.strided:
        raise InvalidInput(
            f"{what}: expected a dense tensor, got {_about(value)} of layout "
            f"{str(value.layout).removeprefix('torch.')}; make it dense with .to_dense()"
        )
    if value.is_nested:
        raise InvalidInput(f"{what}: expected one shape for all, got a nested tensor; pad it")
    if value.is_quantized:
        raise InvalidInput(f"{what}: quantised, {_about(value)}; take .dequantize()")
    if value.is_complex():
        raise InvalidInput(
            f"{what}: complex numbers, {_about(value)}; give real and imaginary part as channels"
        )
    if value.is_meta:
        raise InvalidInput(f"{what}: a tensor on the meta device has no values")
    value = value.detach()
    if value.dtype not in _WIDENED:
        return value
    wide = value.to(torch.int64)
    if bool((wide < 0).any()):
        raise InvalidInput(f"{what}: numbers of 2^63 and more, {_about(value)}")
    return wide


def _stacked(values: "list[Any] | tuple[Any, ...]", what: str) -> Tensor:
    """A list of numbers, arrays or lists of one shape."""
    if not len(values):
        return torch.empty(0, dtype=torch.float32, device="cpu")
    if all(isinstance(value, bool | int | float | np.generic) for value in values):
        return to_tensor(np.asarray(values), what)
    parts = [to_tensor(value, f"{what} [{at}]") for at, value in enumerate(values)]
    for at, part in enumerate(parts):
        if part.shape != parts[0].shape or part.dtype != parts[0].dtype:
            raise InvalidInput(
                f"{what}: ragged, [{at}] is {describe(part)} where [0] is {describe(parts[0])}; "
                "give all one shape and type"
            )
    return torch.stack(parts)


def describe(value: Tensor) -> str:
    """Type and shape, such as ``float32 of shape (8, 784)``."""
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def _about(value: Any) -> str:
    if isinstance(value, Tensor):
        return describe(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"{type(value).__name__} {value!r:.60}"
