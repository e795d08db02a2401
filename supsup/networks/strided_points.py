"""1×1 convolutions with a stride, done so that PyTorch gives the right gradients.

On the CPU the gradient of their weights is wrong where the channels of a pixel lie side by side in
memory and are fewer than a vector register holds: oneDNN writes past its workspace, by its issue
6035. That ends in a crash (so here, with PyTorch 2.13 on a processor with AVX2), in wrong numbers,
or in threads that wait forever. A stride of such a convolution only leaves pixels out. So where
that gradient may be asked for, they are left out before it, and what is convolved has no stride.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
"""Of ``torch.conv2d``, in order."""

_VECTOR = 16
"""Numbers in the widest register; of so many channels all is right."""


def pixels_left_out_first(tensors: Iterable[Tensor]) -> AbstractContextManager[object]:
    """For running a network, and for the backward pass after it, which may run parts of it anew.

    Args:
        tensors: its parameters. Where none of them is a kernel on the CPU, nothing is done.
    """
    if any(each.ndim == 4 and each.device.type == "cpu" for each in tensors):
        return _PixelsLeftOutFirst()
    return nullcontext()


class _PixelsLeftOutFirst(TorchFunctionMode):
    """Every 1×1 convolution with a stride, also of modules that call the function themselves."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is not torch.conv2d:
            return func(*args, **given)
        given = {**dict(zip(_ARGUMENTS, args, strict=False)), **given}
        weight: Tensor = given["weight"]
        channels, *kernel = weight.shape[1:]
        down, right = _pair(given.get("stride", 1))
        few = channels < _VECTOR and kernel == [1, 1] and weight.requires_grad
        if few and max(down, right) > 1 and _unpadded(given.get("padding", 0)):
            given |= {"input": given["input"][..., ::down, ::right], "stride": 1}
        return func(**given)


def _pair(value: Any) -> tuple[int, int]:
    first, *others = (value,) if isinstance(value, int) else tuple(value)
    return int(first), int(others[0] if others else first)


def _unpadded(padding: Any) -> bool:
    """For kernels of one pixel; they can be padded by ``same`` only where there is no stride."""
    return padding == "valid" if isinstance(padding, str) else not any(_pair(padding))
