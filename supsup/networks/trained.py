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


def under_own_names(
    module: nn.Module,
    values: Mapping[str, Shaped[Tensor, "..."]],
    *,
    what: str,
    patterns: Sequence[str] = ALL,
) -> dict[str, Shaped[Tensor, "..."]]:
    """Values by a module's own names, where all that it needs stand behind one prefix.

    ``DataParallel`` puts ``module.`` there, ``torch.compile`` ``_orig_mod.``, and who trains a
    network as an attribute of something (Lightning) that attribute's name. Values that have other
    names keep them.

    Raises:
        InvalidInput: they are there behind several prefixes, as of a student and a teacher.
    """
    names = _names(module)
    wanted = [every for name, every in names.items() if matches(name, patterns)]
    if not wanted or any(name in values for every in names.values() for name in every):
        return dict(values)
    ends = tuple(f".{name}" for name in wanted[0])
    found = {
        value.removesuffix(end[1:]): None for value in values for end in ends if value.endswith(end)
    }
    whole = [
        prefix
        for prefix in found
        if all(any(prefix + name in values for name in every) for every in wanted)
    ]
    if len(whole) > 1:
        raise InvalidInput(
            f"{what}: has the network's tensors more than once, behind {_listed(whole)}; save one "
            "of them alone, without its prefix"
        )
    start = whole[0] if whole else ""
    return {name.removeprefix(start): value for name, value in values.items()}


def _names(module: nn.Module) -> dict[str, list[str]]:
    """Every parameter's name, and all that it has: of tied weights a state_dict lists each."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {every[0]: every for every in names.values()}


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

    Every parameter that a pattern matches must be among the values, of tied weights under one name;
    a buffer need not. With the
    patterns ``*``, every value must have its place, so that the weights of another network are not
    taken for this one's; statistics that the module does not keep are passed over.

    Args:
        what: they are from, for errors.

    Returns:
        The names that were overwritten.

    Raises:
        InvalidInput: a value is missing, of another shape or not finite, or has no place; tied
            weights have two; or a pattern matches nothing. The module may have been changed in
            part.
    """
    parameters, names = dict(module.named_parameters()), _names(module)
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in parameters):
            raise InvalidInput(
                f"{what}: no parameter matches {pattern!r}; the network has "
                + _listed(list(parameters))
                + did_you_mean(pattern, parameters)
            )
    wanted = [name for name in parameters if matches(name, patterns)]
    given = {name: [each for each in names[name] if each in values] for name in wanted}
    if missing := [name for name, under in given.items() if not under]:
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
    for name, under in given.items():
        for other in under[1:]:
            if not values[under[0]].equal(values[other]):
                raise InvalidInput(
                    f"{what}: tensors {under[0]!r} and {other!r} differ, and are one in the "
                    f"network, {name!r}; is it of a network whose weights are not tied?"
                )
    every = {*(each for under in names.values() for each in under), *module.state_dict()}
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
            value = values[given[name][0]]
            _copy(what, name, parameters[name], float32_of(what, name, value))
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
