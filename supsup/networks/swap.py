"""Other tensors in the place of a module's own, while it runs and is differentiated.

``torch.func.functional_call`` does nearly this, but it breaks modules in which a submodule has two
names, gives parameters back before a backward pass can recompute (activation checkpointing), and
leaves behind what a forward keeps in attributes (the flat weights of an RNN).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

Slots = Mapping[str, tuple[tuple[dict[str, Tensor | None], str], ...]]
"""For each parameter and buffer all places where a module has it: a part's dict, and the key."""


def slots_of(module: nn.Module) -> Slots:
    """The places of every parameter and buffer, under the name that the module gives it."""
    places: dict[int, list[tuple[dict[str, Tensor | None], str]]] = {}
    for part in module.modules():  # each part once, however many names it has
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    places.setdefault(id(tensor), []).append((tensors, name))  # type: ignore[arg-type]
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: tuple(places[id(tensor)]) for name, tensor in named}


@contextmanager
def swapped(slots: Slots, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """The tensors are the parameters and buffers of those names, in all their places.

    Where a forward puts another tensor in the place of one, its values are written to that one.
    """
    before = [(where, key, where[key]) for name in tensors for where, key in slots[name]]
    try:
        for name, tensor in tensors.items():
            for where, key in slots[name]:
                where[key] = tensor
        yield
        for name, tensor in tensors.items():
            for where, key in slots[name]:
                if (now := where[key]) is not tensor and now is not None:
                    tensor.copy_(now.detach())
    finally:
        for where, key, own in before:
            where[key] = own


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
