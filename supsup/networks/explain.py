"""Errors of a user's module as one line that names the layer and says what to do."""

import math
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from maskstore.errors import InvalidInput, SupsupError
from supsup.tasks.arrays import INTEGERS, Inputs
from supsup.tasks.batch import tensors_of


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says so; PyTorch has no class of its own for a CPU's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def explained(error: Exception, module: nn.Module, x: Inputs) -> Exception:
    """The error to raise in the place of one that a module raised on ``x``."""
    if isinstance(error, SupsupError) or out_of_memory(error):
        return error
    name, layer = failed_layer(error.__traceback__, module)
    where = f"layer {name!r} ({type(layer).__name__}): " if name else ""
    reason = reason_of(error)
    advice = "check the size of the images"
    images = tensors_of(x)
    if isinstance(layer, _ConvNd) and images[0].ndim == 2:
        advice = reshaping(layer, images[0].shape[1])
    elif "more than 1 value per channel" in reason:  # PyTorch's words for a batch of one
        advice = "a net with batch statistics needs at least 2 images at a time"
    elif isinstance(error, TypeError) and not isinstance(x, Tensor):
        given = ", ".join(x) if isinstance(x, dict) else ", ".join("abcdefgh"[: len(x)])
        advice = f"inputs of each image are arguments of their own: forward(self, {given})"
    elif isinstance(error, TypeError) and "missing" in reason:
        advice = "where it takes several inputs, give a tuple or a dict of them"
    elif images[0].dtype in INTEGERS:
        advice = "these are integers: give floats, or say what they stand for (scale=(0, 255))"
    elif torch.get_default_dtype() != torch.float32 and "dtype" in reason:
        advice = f"torch's default type is {torch.get_default_dtype()}, set it back to float32"
    # Without how many they are: one image may have been doubled on its way here.
    shape = ", ".join(f"({', '.join(['n', *map(str, each.shape[1:])])})" for each in images)
    return InvalidInput(
        f"data of shape {shape}: the network does not take it ({where}{reason}); {advice}"
    )


def reason_of(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none, or a key alone."""
    kind = type(error).__name__
    if isinstance(error, KeyError):
        return f"{kind}: {error}"[:200]
    return next(iter(str(error).splitlines()), kind)[:200]


def failed_layer(trace: TracebackType | None, module: nn.Module) -> tuple[str, nn.Module]:
    """The innermost part of a module in whose forward an error was raised, with its name."""
    names = {id(part): name for name, part in module.named_modules()}
    found: nn.Module = module
    while trace is not None:
        part = trace.tb_frame.f_locals.get("self")
        if isinstance(part, nn.Module) and id(part) in names:
            found = part
        trace = trace.tb_next
    return names[id(found)], found


def reshaping(layer: _ConvNd, numbers: int) -> str:
    """What to do where a convolution is given rows of so many numbers."""
    axes = len(layer.kernel_size)
    side = round((numbers / layer.in_channels) ** (1 / axes))
    advice = (
        f"each image is a row of {numbers} numbers, the layer takes {layer.in_channels} channels"
    )
    if layer.in_channels * side**axes != numbers:
        return f"{advice} and {axes} axes more: reshape the data"
    shape = (layer.in_channels, *[side] * axes)
    assert math.prod(shape) == numbers
    return (
        f"{advice}: give images of shape {shape}, x.reshape(-1, {', '.join(map(str, shape))}), "
        f"or begin the module with nn.Unflatten(1, {shape})"
    )


def parse_logits(output: object, rows: int) -> Tensor:
    """A module's output as logits, (batch, outputs), float32.

    A mapping with ``logits`` in it, as many libraries return it, stands for these.

    Raises:
        InvalidInput: it is anything else.
    """
    if isinstance(output, dict) and isinstance(output.get("logits"), Tensor):
        output = output["logits"]
    if not isinstance(output, Tensor):
        found = type(output).__name__
        if isinstance(output, list | tuple | dict):
            found += f" of {len(output)}"
            found += f" ({', '.join(map(str, output))})" if isinstance(output, dict) else ""
        raise InvalidInput(
            f"the network gives a {found}, expected its logits, a tensor of shape (batch, outputs) "
            "(or a dict with 'logits'); wrap the module in one whose forward returns them"
        )
    if output.ndim != 2 or output.shape[0] != rows or not output.shape[1]:
        raise InvalidInput(
            f"the network gives a tensor of shape {tuple(output.shape)} for a batch of {rows}, "
            f"expected logits of shape ({rows}, outputs); flatten or select in its forward"
        )
    if not output.is_floating_point():
        raise InvalidInput(
            f"the network gives numbers of type {output.dtype}, expected real logits; "
            "convert them in its forward"
        )
    return output
