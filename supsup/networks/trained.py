"""Trained values in a module's parameters and buffers, by name, in the place of seeded ones."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from maskstore.registry import did_you_mean
from supsup.networks.statistics import tracking
from supsup.networks.weights_file import ALL, float32_of, matches, read_weights

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What a normalisation keeps of its training; a backbone may go without (``parse_module``)."""

_SHOWN = 5
"""Names in an error; a network may have hundreds."""


def values_of(module: nn.Module) -> tuple[str, dict[str, Shaped[Tensor, "..."]]]:
    """The values that a module has now, copied, and what they are called in errors."""
    state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return f"module {type(module).__name__}", state


def values_in(path: Path) -> tuple[str, dict[str, Shaped[Tensor, "..."]]]:
    """Those of a file; raises as :func:`supsup.networks.weights_file.read_weights`."""
    return f"weights {path}", read_weights(path)


def default_statistics(module: nn.Module, given: Iterable[str]) -> str:
    """What normalisation goes by where nobody says.

    Args:
        given: names of trained values: statistics among them are those that a network was trained
            with, and are kept. A task has statistics of its own where there are none such, or not
            all.
    """
    if not any(tracking(module)):
        return "batch"
    return "running" if _lacking(module, given) else "frozen"


def require_statistics(module: nn.Module, values: Iterable[str], *, what: str) -> None:
    """Raise InvalidInput where a module's running statistics are not among the values.

    For normalisation by frozen statistics, which would be mean 0 and variance 1 otherwise.
    """
    if missing := _lacking(module, values):
        raise InvalidInput(
            f"{what}: lacks {_listed(missing)}, by which a network with --statistics frozen "
            "normalises; take --statistics batch or running"
        )


def place_values(
    module: nn.Module,
    values: Mapping[str, Shaped[Tensor, "..."]],
    *,
    what: str,
    patterns: Sequence[str] = ALL,
) -> frozenset[str]:
    """Overwrite the parameters and buffers that patterns match with trained values, in place.

    Every parameter that a pattern matches must be among the values; a buffer need not. With the
    patterns ``*``, every value must have its place, so that the weights of another network are not
    taken for this one's; statistics that the module does not keep are passed over.

    Args:
        what: they are from, for errors.

    Returns:
        The names that were overwritten.

    Raises:
        InvalidInput: a value is missing, of another shape or not finite, or has no place; or a
            pattern matches nothing. The module may have been changed in part.
    """
    parameters = dict(module.named_parameters())
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in parameters):
            raise InvalidInput(
                f"{what}: no parameter matches {pattern!r}; the network has "
                + _listed(list(parameters))
                + did_you_mean(pattern, parameters)
            )
    wanted = [name for name in parameters if matches(name, patterns)]
    if missing := [name for name in wanted if name not in values]:
        raise InvalidInput(
            f"{what}: lacks {_listed(missing)} of the network, it has {_listed(list(values))}; "
            "name the parameters that it gives (--weights-for PATTERN, in Python "
            "WeightsFile.of(path, parameters=[…])), the others are drawn from the seed"
        )
    buffers = {
        name: buffer
        for name, buffer in module.named_buffers()
        if matches(name, patterns) and name in values
    }
    # One tensor may be listed under several names, as tied weights are in a state_dict.
    every = {*dict(module.named_parameters(remove_duplicate=False)), *module.state_dict()}
    spare = [
        name for name in values if name not in every and name.rpartition(".")[2] not in _STATISTICS
    ]
    if spare and tuple(patterns) == ALL:
        raise InvalidInput(
            f"{what}: has {_listed(spare)}, for which the network has no place; is it another "
            "network's? Otherwise name the parameters that it gives (--weights-for PATTERN)"
        )
    with torch.no_grad():
        for name in wanted:
            _copy(what, name, parameters[name], float32_of(what, name, values[name]))
        for name, buffer in buffers.items():
            value = values[name]
            if buffer.is_floating_point():
                value = float32_of(what, name, value)
            _copy(what, name, buffer, value)
    return frozenset([*wanted, *buffers])


def _lacking(module: nn.Module, values: Iterable[str]) -> list[str]:
    """Running statistics of a module that are not among the values."""
    given = set(values)
    return [
        name
        for name, _ in module.named_buffers()
        if name.rpartition(".")[2] in _STATISTICS[:2] and name not in given
    ]


def _copy(what: str, name: str, into: Tensor, value: Tensor) -> None:
    if into.shape != value.shape:
        raise InvalidInput(
            f"{what}: tensor {name!r}: the network's is of shape {tuple(into.shape)}, "
            f"found {tuple(value.shape)}; name the parameters that it gives "
            "(--weights-for PATTERN) to draw this one from the seed"
        )
    into.copy_(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
