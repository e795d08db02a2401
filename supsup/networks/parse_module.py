"""What a user's module has to be before it is frozen, and what is changed about it."""

import copy
from collections.abc import Container, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from maskstore.errors import InvalidInput
from maskstore.layout import MaskLayout
from supsup.networks.statistics import set_statistics
from supsup.networks.weights_file import matches

_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",  # of torch.compile
}
"""Classes around a module that only change how it is run, and where they keep it."""


_LOST = "statistics of the batch instead of running ones"


def copy_module(module: nn.Module) -> nn.Module:
    """A module's copy of its own.

    Raises:
        InvalidInput: it cannot be copied.
    """
    check_parts(module)
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(
            f"module {type(module).__name__}: cannot be copied ({reason}); keep what copy.deepcopy "
            "does not take out of its attributes, or name a function that makes the module "
            '(net="my_module:make_net")'
        ) from error


def parse_module(
    module: nn.Module, statistics: str | None = "batch"
) -> tuple[nn.Module, tuple[str, ...]]:
    """A module as a backbone runs it, and what was changed about it, a line each.

    Wrappers that only say how a module runs (``DataParallel``, ``torch.compile``) are taken off.

    Args:
        module: changed in place, where it is not the wrapper itself.
        statistics: of batch and instance normalisation (:mod:`supsup.networks.statistics`); None
            where that is not known yet: what there is stays.

    Raises:
        InvalidInput: a part cannot be run under masks; the line names it and says what to do.
    """
    notes: list[str] = []
    module = unwrap(module, notes)
    for name, part in list(module.named_modules()):
        for child, inner in list(part.named_children()):
            bare = unwrap(inner, notes, f"{name}.{child}" if name else child)
            if bare is not inner:
                setattr(part, child, bare)
    check_parts(module)
    for name, part in module.named_modules():
        if part._compiled_call_impl is not None:
            part._compiled_call_impl = None
            notes.append(f"{_label(name, part)}: not compiled")
    for name, part in set_statistics(module, statistics):
        notes.append(f"{_label(name, part)}: {_LOST}")
    for name in loose_tensors(module):
        notes.append(
            f"attribute {name!r}: a tensor that is neither parameter nor buffer, so the digest "
            "does not cover it; register_buffer makes it one"
        )
    return module, tuple(notes)


def unwrap(module: nn.Module, notes: list[str], name: str = "") -> nn.Module:
    """The module inside wrappers; itself where there are none."""
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        notes.append(f"{_label(name, module)}: taken off, the module inside is run as it is")
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def check_parts(module: nn.Module) -> None:
    """Raise InvalidInput, naming the layer, where one cannot be run under masks at all."""
    if not isinstance(module, nn.Module):
        raise InvalidInput(f"module: expected an nn.Module, got {type(module).__name__}")
    for name, part in module.named_modules():
        where = _label(name, part)
        if isinstance(part, torch.jit.ScriptModule):
            raise InvalidInput(
                f"{where}: a scripted module, whose weights cannot be replaced by masked ones; "
                "hand in the module that was given to torch.jit"
            )
        if any(map(is_lazy, (*part._parameters.values(), *part._buffers.values()))):
            raise InvalidInput(
                f"{where}: a lazy layer that has no shape yet; run one batch through the module "
                "first, or give the layer its sizes"
            )
        for hook in part._forward_pre_hooks.values():
            if type(hook).__module__.startswith("torch.nn.utils."):
                raise InvalidInput(
                    f"{where}: {type(hook).__name__} computes its weight in a hook, out of reach "
                    "of masks; take torch.nn.utils.parametrizations (or parametrize) instead, or "
                    "remove it"
                )
        for key, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and tensor.is_meta:
                raise InvalidInput(
                    f"{where}: {key!r} is on the meta device, without values; build the module on "
                    "the CPU"
                )
            if tensor is not None and (tensor.layout != torch.strided or tensor.is_quantized):
                raise InvalidInput(
                    f"{where}: has a sparse or quantized tensor, expected dense ones; "
                    "call to_dense() or dequantize() on it"
                )


def layout_over(
    module: nn.Module, maskable: tuple[str, ...] | None, own: Container[str] = ()
) -> MaskLayout:
    """The layout of masks over those parameters, in the module's order.

    Args:
        maskable: their names, or patterns of them (``*``, ``?``, ``[…]``), which pass over those of
            ``own``; None for all of two axes or more that are not ``own``.
        own: names of parameters that every task has of its own.

    Raises:
        InvalidInput: one is unknown, empty or a task's own, a pattern matches none, or there is
            none.
    """
    parameters = dict(module.named_parameters())
    if maskable is None:
        maskable = tuple(
            n for n, w in parameters.items() if w.ndim >= 2 and w.numel() and n not in own
        )
    maskable = tuple(name for each in maskable for name in _named(each, parameters, own))
    for name in maskable:
        if name in own:
            raise InvalidInput(
                f"maskable: parameter {name!r} is per task, too, and so has no need of a mask; "
                "leave it out of one of the two"
            )
        if not parameters[name].numel():
            shape = tuple(parameters[name].shape)
            raise InvalidInput(
                f"maskable: parameter {name!r} of shape {shape} is empty; leave it out"
            )
    if not maskable:
        raise InvalidInput("the module has no parameter that a mask could cover")
    return MaskLayout({name: tuple(w.shape) for name, w in parameters.items() if name in maskable})


def _named(pattern: str, parameters: Mapping[str, Tensor], own: Container[str]) -> list[str]:
    """The parameters of a name, or that a pattern matches."""
    if pattern in parameters:
        return [pattern]
    found = [name for name in parameters if matches(name, [pattern])]
    if not found:
        raise InvalidInput(
            f"maskable: no parameter {pattern!r}; the module has: {', '.join(parameters)}"
        )
    return [name for name in found if name not in own]


def loose_tensors(module: nn.Module) -> Iterator[str]:
    """Names of tensors that are attributes, but neither parameters nor buffers."""
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if isinstance(value, Tensor):
                yield f"{name}.{attribute}" if name else attribute


def lost_statistics(notes: Iterable[str], name: str, part: nn.Module) -> bool:
    """Whether notes say that a normalisation had running statistics before it was parsed."""
    return f"{_label(name, part)}: {_LOST}" in notes


def _label(name: str, part: nn.Module) -> str:
    return f"layer {name!r} ({type(part).__name__})" if name else f"module {type(part).__name__}"
