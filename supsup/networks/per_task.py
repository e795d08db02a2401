"""Parameters that every task has of its own: which they are, where they start, how they are kept.

A head, norm scales and shifts, biases: what a pattern of names says is trained together with the
task's mask, stored beside it, and takes the place of the module's own wherever the task is run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from maskstore.errors import InvalidInput
from maskstore.registry import did_you_mean
from maskstore.tensors import BFloat16, TensorValue
from supsup.networks.explain import out_of_memory
from supsup.networks.weights_file import matches

STEPS = "int8-steps"
"""A task's tensor: the step of each parameter that is kept as int8, float32, in their order."""

_LEVELS = 127


def parse_patterns(value: object) -> tuple[str, ...]:
    """Patterns of names as a tuple; one alone may be given as text, and none is none.

    Raises:
        InvalidInput: something else.
    """
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, str) and each for each in given
    ):
        raise InvalidInput(
            f"per_task: expected patterns of parameter names, such as 'head.*', got {value!r}"
        )
    return tuple(given)


def own_parameters(module: nn.Module, patterns: Sequence[str]) -> dict[str, Tensor]:
    """The parameters that patterns match, as the module has them, by name.

    Raises:
        InvalidInput: a pattern matches none.
    """
    parameters = dict(module.named_parameters())
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in parameters):
            shown = ", ".join(list(parameters)[:8]) + (", …" if len(parameters) > 8 else "")
            raise InvalidInput(
                f"per_task: no parameter matches {pattern!r}; the network has: {shown}"
                + did_you_mean(pattern, parameters)
            )
    return {name: each.detach() for name, each in parameters.items() if matches(name, patterns)}


def start_at_rest(module: nn.Module, patterns: Sequence[str]) -> None:
    """Set the per-task parameters of one axis to where training starts, in place.

    The scales of normalisations start at 1, everything else of one axis (shifts, biases) at 0;
    those of more axes keep their seeded values.
    """
    if not patterns:
        return
    scales = {
        f"{name}.weight" if name else "weight"
        for name, part in module.named_modules()
        if isinstance(part, _NormBase) or "norm" in type(part).__name__.lower()
    }
    with torch.no_grad():
        for name, parameter in own_parameters(module, patterns).items():
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name in scales else 0.0)


def rounded(
    start: Mapping[str, Tensor], trained: Mapping[str, Tensor], dtype: str
) -> dict[str, TensorValue]:
    """What an archive keeps of per-task parameters: rounded to a type, nearest.

    ``int8`` keeps the difference from where training started in 127ths of the largest one, a step
    each. Whoever evaluates reads them back (:func:`read_own`), so that what was measured is what
    was kept, whatever the type.

    Args:
        start: that training started from, by name.
        trained: what it ended with; of a head fewer rows may be left.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``int8``.

    Raises:
        InvalidInput: a number is too large for float16.
    """
    kept: dict[str, TensorValue] = {}
    steps: list[np.float32] = []
    for name, tensor in trained.items():
        values = tensor.detach().cpu().to(torch.float32).contiguous()
        if dtype == "int8":
            moved = values - _begun(start[name], values)
            step = np.float32(moved.abs().max() / _LEVELS) if moved.numel() else np.float32(0)
            levels = np.rint(moved.numpy() / step) if step > 0 else np.zeros(moved.shape)
            kept[name] = np.clip(levels, -_LEVELS, _LEVELS).astype(np.int8)
            steps.append(step)
        elif dtype == "bfloat16":
            kept[name] = BFloat16(values.to(torch.bfloat16).to(torch.float32).numpy())
        elif dtype == "float16":
            half = values.to(torch.float16)
            if not bool(half.isfinite().all()):
                raise InvalidInput(
                    f"per-task parameter {name!r}: {float(values.abs().max()):g} is too large for "
                    "float16; keep it as bfloat16 or float32 (--per-task-dtype)"
                )
            kept[name] = half.numpy()
        else:
            kept[name] = values.numpy().copy()
    if dtype == "int8":
        kept[STEPS] = np.array(steps, np.float32)
    return kept


def read_own(
    start: Mapping[str, Tensor], found: Mapping[str, TensorValue], what: str
) -> dict[str, Float32[Tensor, "..."]]:
    """Per-task parameters as an archive gives them, as numbers, on the CPU.

    Args:
        start: the network's own, by name.
        what: whose they are to be, as an error says it.

    Raises:
        InvalidInput: one is missing, of another type, or of a shape that the network has no place
            for. A head may have fewer rows than the network has outputs.
    """
    steps = iter(np.atleast_1d(plain(found.get(STEPS, np.zeros(0, np.float32)))))
    read: dict[str, Tensor] = {}
    for name, begun in start.items():
        value = None if name not in found else plain(found[name])
        fits = value is not None and value.dtype in (np.float32, np.float16, np.int8)
        shape = tuple(begun.shape)
        if value is None or not fits or not _fits(value.shape, shape):
            got = "none" if value is None else f"{value.dtype.name} of shape {value.shape}"
            raise InvalidInput(
                f"{what}: tensor {name!r} of a task: expected numbers of shape {shape}, got {got}; "
                "take the network of its training"
            )
        numbers = torch.from_numpy(np.array(value, order="C"))  # scalars too
        if value.dtype == np.int8:
            if (step := next(steps, None)) is None:
                raise InvalidInput(
                    f"{what}: tensor {name!r} of a task is of differences, and {STEPS!r}, their "
                    "steps, are not all there"
                )
            numbers = _begun(begun, numbers) + numbers.to(torch.float32) * float(step)
        read[name] = numbers.to(torch.float32)
    return read


def plain(value: TensorValue) -> Shaped[np.ndarray, "..."]:
    """A tensor of a task as an array, whether it is to be stored or was read."""
    return value.values if isinstance(value, BFloat16) else np.asarray(value)


def heads_of(
    own: Mapping[str, Tensor], run: Callable[[Mapping[str, Tensor]], Tensor]
) -> tuple[str, ...]:
    """The per-task parameters whose rows are the outputs, so that a task needs only its classes'.

    Found by asking: with a row less in all of a layer's, there is an output less.

    Args:
        own: as the network starts them.
        run: gives logits with others in their place.
    """
    outputs = run({}).shape[1]
    layers: dict[str, dict[str, Tensor]] = {}
    for name, each in own.items():
        if outputs > 1 and each.ndim and each.shape[0] == outputs:
            layers.setdefault(name.rpartition(".")[0], {})[name] = each[:-1]
    for fewer in layers.values():
        try:
            width = run(fewer).shape[1]
        except Exception as error:  # a layer in the middle, or one whose bias all tasks share
            if out_of_memory(error):
                raise
            continue
        if width == outputs - 1:
            return tuple(fewer)
    return ()


def fit_heads(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Make parameters of a module as long as their values, where a task's head is narrower."""
    parameters = dict(module.named_parameters())
    for name, value in values.items():
        if name in parameters and parameters[name].shape != value.shape:
            path, _, key = name.rpartition(".")
            part = module.get_submodule(path)
            setattr(part, key, nn.Parameter(torch.empty_like(value), requires_grad=False))
            if isinstance(part, nn.Linear):
                part.out_features = len(value)


def _begun(start: Tensor, like: Tensor) -> Tensor:
    """Where a parameter started, as many rows of it as there are, on the CPU."""
    return start.cpu()[: len(like)] if like.ndim else start.cpu()


def _fits(found: Iterable[int], expected: tuple[int, ...]) -> bool:
    shape = tuple(found)
    if len(shape) != len(expected) or shape[1:] != expected[1:]:
        return False
    return not shape or 1 <= shape[0] <= expected[0]
