"""Other tensors in the place of a module's parameters, while it runs and is differentiated.

``torch.func.functional_call`` does nearly this, but it breaks modules in which a submodule has two
names, gives parameters back before a backward pass can recompute (activation checkpointing), and
leaves behind what a forward keeps in attributes (the flat weights of an RNN).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

Slots = Mapping[str, tuple[tuple[nn.Module, str], ...]]
"""For each parameter all places where a module has it, each place once: (part, its name there)."""


def slots_of(module: nn.Module) -> Slots:
    """The places of every parameter, under the name that ``named_parameters`` gives it."""
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for part in module.modules():  # each part once, however many names it has
        for name, parameter in part._parameters.items():
            if parameter is not None:
                places.setdefault(id(parameter), []).append((part, name))
    return {name: tuple(places[id(p)]) for name, p in module.named_parameters()}


@contextmanager
def swapped(slots: Slots, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """The tensors are the parameters of those names, in all their places."""
    before = [(part, name, part._parameters[name]) for key in tensors for part, name in slots[key]]
    try:
        for key, tensor in tensors.items():
            for part, name in slots[key]:
                part._parameters[name] = tensor  # type: ignore[assignment]
        yield
    finally:
        for part, name, parameter in before:
            part._parameters[name] = parameter


@contextmanager
def attributes_restored(module: nn.Module) -> Iterator[None]:
    """What is assigned to attributes meanwhile, the training flag included, is undone."""
    before = [(part, dict(vars(part))) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)
