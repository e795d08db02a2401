"""Answer: what a network said under a mask, kept to notice when its code says something else.

Layout and digest cover parameters and buffers. What a user's own code computes with them, and the
numbers that it holds elsewhere, they do not: an activation that was changed since, a tensor in an
attribute or a closure, random each time. So a mask that is trained over a user's network keeps a
few logits for made-up inputs, and a network that gives others is not the one it is for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import DigestMismatch, InvalidInput
from maskstore.tensors import TensorValue
from supsup.networks.explain import out_of_memory
from supsup.networks.masked_module import MaskedModule
from supsup.networks.modes import plain_modes
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs, tensors_of

_ROWS = 2
_CLASSES = 4
_ROUNDING = 1e-2
"""Share of the largest logit in which machines may differ: kernels, and TF32 on a GPU."""
_TASKS = 16
"""Tasks among which one with an answer is looked for."""

_NUMBERS = 1 << 24
"""Numbers in an input for which some are made up."""

_Part = list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A few logits of a network under the mask of a task.

    Attributes:
        inputs: of what :func:`kind_of` they are.
        logits: of two made-up inputs, row after row, the first classes of the task.
    """

    inputs: Any
    logits: tuple[float, ...]

    @classmethod
    @plain_modes()
    def of(
        cls,
        network: MaskedModule,
        inputs: Any,
        classes: int | None,
        masks: Mapping[str, Bool[np.ndarray, "..."]],
        tensors: Mapping[str, TensorValue],
    ) -> "Answer | None":
        """That to inputs of that :func:`kind_of`; None where there is no finite one.

        Args:
            classes: of the task; None for all outputs.
        """
        logits = _logits(network, inputs, classes, masks, tensors) if _is_kind(inputs) else None
        if logits is None:
            return None
        return cls(inputs=inputs, logits=tuple(float(f"{each:.4g}") for each in logits))

    @plain_modes()
    def same(
        self,
        network: MaskedModule,
        masks: Mapping[str, Bool[np.ndarray, "..."]],
        tensors: Mapping[str, TensorValue],
    ) -> bool:
        """Whether a network answers the same, but for rounding."""
        try:
            found = _logits(network, self.inputs, len(self.logits) // _ROWS, masks, tensors)
        except InvalidInput:
            return False
        if found is None or len(found) != len(self.logits):
            return False
        scale = max(map(abs, self.logits))
        return bool(np.allclose(found, self.logits, rtol=0, atol=_ROUNDING * scale + 1e-4))

    def made_up(self) -> Inputs:
        """The inputs, on the CPU."""
        return _made_up(self.inputs)

    @property
    def types(self) -> list[torch.dtype]:
        """Of the inputs."""
        return [each.dtype for each in tensors_of(self.made_up())]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"inputs": self.inputs, "logits": list(self.logits)}

    @classmethod
    def from_json(cls, value: object) -> "Answer | None":
        """The inverse of :meth:`to_json`; None for anything else."""
        if not isinstance(value, Mapping):
            return None
        inputs, logits = value.get("inputs"), value.get("logits")
        if not isinstance(logits, list | tuple) or not logits or len(logits) % _ROWS:
            return None
        if not all(type(each) in (int, float) for each in logits):
            return None
        if not _is_kind(inputs):
            return None
        return cls(inputs=inputs, logits=tuple(map(float, logits)))


def check_answer(network: MaskedModule, archive: MaskArchive) -> None:
    """Raise DigestMismatch where a network answers otherwise than when masks were trained on it.

    The first task that has an answer is asked, if one of the first has any.
    """
    state = archive.state
    if network.answered is state:  # asked at every prediction, of thousands of tasks
        return
    for stored in islice(archive, _TASKS):
        answer = Answer.from_json(stored.metadata.get("answer"))
        if answer is None:
            continue
        if not answer.same(network, archive.get(stored.name), archive.tensors(stored.name)):
            raise DigestMismatch(
                f"{archive.path}: network {network.name} has the weights that the masks are for, "
                f"but answers otherwise than when task {stored.name!r} was trained: its code was "
                "changed since, or it computes with numbers that are neither parameters nor "
                "buffers; use the code of then, and register_buffer for such numbers"
            )
        break
    network.answered = state


def kind_of(x: Inputs) -> Any:
    """Type and shape of an input without its batch, as JSON; of several by name, or in a list."""
    if isinstance(x, dict):
        return {name: _part(each) for name, each in x.items()}
    return [_part(each) for each in x] if isinstance(x, tuple) else _part(x)


def _part(x: Tensor) -> _Part:
    return [str(x.dtype).removeprefix("torch."), *x.shape[1:]]


def _made_up(inputs: Any) -> Inputs:
    """Inputs of that kind: floats by a normal law, the same everywhere; integers are all 1."""
    draw = np.random.Generator(np.random.PCG64(0))

    def one(part: _Part) -> Tensor:
        dtype, *shape = part
        kind = getattr(torch, dtype)
        if not kind.is_floating_point:
            return torch.ones(_ROWS, *shape, dtype=kind, device="cpu")
        values = draw.standard_normal((_ROWS, *shape), np.float32)
        return torch.from_numpy(values).to(kind)

    if isinstance(inputs, Mapping):
        return {name: one(part) for name, part in inputs.items()}
    if isinstance(inputs[0], str):
        return one(inputs)
    return tuple(one(part) for part in inputs)


def _is_kind(inputs: object) -> bool:
    """Whether it is a :func:`kind_of` inputs that are small enough to be made up."""
    parts: list[object]
    if isinstance(inputs, Mapping):
        parts = list(inputs.values())
    elif isinstance(inputs, list | tuple) and inputs:
        parts = [inputs] if isinstance(inputs[0], str) else list(inputs)
    else:
        return False
    return bool(parts) and all(map(_is_part, parts))


def _is_part(part: object) -> bool:
    if not isinstance(part, list | tuple) or not part:
        return False
    dtype, *shape = part
    sizes = all(type(each) is int and each >= 0 for each in shape)
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else None
    return sizes and isinstance(kind, torch.dtype) and math.prod(shape) <= _NUMBERS


def _logits(
    network: MaskedModule,
    inputs: Any,
    classes: int | None,
    masks: Mapping[str, Bool[np.ndarray, "..."]],
    tensors: Mapping[str, TensorValue],
) -> list[float] | None:
    """None where the network does not take such inputs or its answer is not finite."""
    weights = network.of_task(masks, tensors)
    x = map_inputs(lambda each: each.to(network.device), _made_up(inputs))
    try:
        with torch.no_grad():
            logits = network.run(x, weights)[:, :_CLASSES][:, :classes].float()
    except Exception as error:
        if out_of_memory(error):
            raise
        return None
    return logits.flatten().tolist() if bool(logits.isfinite().all()) else None
