"""Where normalisation takes its mean and variance from: the batch, running ones that belong to a
task, or those that the module has.

What training changes about a module besides scores are tensors of the task: they begin as the
module has them, end with the mask in the archive, and take the place of the module's own buffers
while it runs (:mod:`supsup.networks.swap`). The module itself is never written to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from maskstore.errors import InvalidInput
from maskstore.tensors import TensorValue
from supsup.networks.bn import BatchScale
from supsup.networks.per_task import plain

if TYPE_CHECKING:
    from supsup.networks.backbone import Backbone

_COUNTER = "num_batches_tracked"
_TORCHS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    BatchScale,
)
"""Layers whose evaluation is known: (x - mean) / sqrt(var + eps), times a scale, plus a shift."""


def tracking(module: nn.Module) -> Iterator[tuple[str, _NormBase]]:
    """The normalisations of a module that have running statistics, with their names."""
    for name, part in module.named_modules():
        if isinstance(part, _NormBase) and part.track_running_stats:
            yield name, part


def set_statistics(module: nn.Module, statistics: str | None) -> list[tuple[str, nn.Module]]:
    """Make a module's normalisation go by ``statistics``, in place.

    ``batch`` takes running ones away; otherwise they stay as they are.

    Returns:
        Name and layer of each normalisation that lost its running statistics.
    """
    lost: list[tuple[str, nn.Module]] = []
    for name, part in list(tracking(module)):
        if statistics == "batch":
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
            lost.append((name, part))
    return lost


def reset_statistics(module: nn.Module) -> None:
    """Set running statistics to mean 0 and variance 1, in place."""
    for _, part in tracking(module):
        part.reset_running_stats()


def task_buffers(module: nn.Module, statistics: str) -> dict[str, Tensor]:
    """The buffers that every task has of its own, as the module has them, by name."""
    if statistics != "running":
        return {}
    return {
        f"{name}.{key}" if name else key: buffer
        for name, part in tracking(module)
        for key, buffer in part.named_buffers(recurse=False)
    }


def kept_names(names: Iterable[str]) -> list[str]:
    """Names of task buffers that an archive keeps: counts of batches decide no answer."""
    return [name for name in names if name.rpartition(".")[2] != _COUNTER]


PROTOTYPES = "prototypes"
"""A task's tensor that is not the network's: what its data look like."""


def parse_kept(
    expected: Mapping[str, Tensor], found: Mapping[str, TensorValue], what: str
) -> dict[str, Tensor]:
    """Tensors of a task as an archive gives them, on the CPU.

    Args:
        expected: tensors of the same names, shapes and types.
        what: whose they are to be, as an error says it.

    Raises:
        InvalidInput: they are others.
    """
    for name in (*expected, *(name for name in found if name != PROTOTYPES)):
        value = plain(found[name]) if name in found else None
        here = None if value is None else (value.dtype.name, tuple(value.shape))
        wanted = None
        if name in expected:
            wanted = (str(expected[name].dtype).removeprefix("torch."), tuple(expected[name].shape))
        if here != wanted:
            raise InvalidInput(
                f"{what}: tensor {name!r} of a task: expected {_described(wanted)}, got "
                f"{_described(here)}; take the network, and the statistics, of its training"
            )
    return {name: torch.from_numpy(np.ascontiguousarray(plain(found[name]))) for name in expected}


def _described(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "none" if kind is None else f"{kind[0]} of shape {kind[1]}"


def check_masks_suffice(backbone: "Backbone", what: str) -> None:
    """Raise InvalidInput where ``what``, which knows masks only, is to run a network whose tasks
    have more than that."""
    if backbone.kept_tensors:
        beside = "parameters" if backbone.own_parameters else "running statistics"
        raise InvalidInput(
            f"{what} works on masks alone, and the tasks of network {backbone.name} have "
            f"{beside} beside theirs; take a network with statistics batch and nothing per task"
        )


def set_training(module: nn.Module, statistics: str) -> None:
    """Put a module into training mode, but for normalisation that goes by frozen statistics."""
    module.train()
    if statistics == "frozen":
        for _, part in tracking(module):
            part.training = False


def differentiable_statistics(module: nn.Module) -> None:
    """Let gradients through running statistics, which PyTorch's own layers have none for.

    The layers' ``forward`` is replaced by an attribute; whoever calls takes it away again.
    """
    for _, part in tracking(module):
        if type(part) in _TORCHS:
            forward: Callable[[Tensor], Tensor] = partial(_evaluated, part)
            vars(part)["forward"] = forward


def _evaluated(part: _NormBase, x: Tensor) -> Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = part.running_mean, part.running_var
    assert mean is not None
    assert variance is not None
    scale = torch.rsqrt(variance + part.eps)
    if part.weight is not None:
        scale = scale * part.weight
    shift = -mean * scale
    if part.bias is not None:
        shift = shift + part.bias
    return x * scale.view(shape) + shift.view(shape)
