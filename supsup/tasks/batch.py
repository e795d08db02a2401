"""The one parser of inputs and labels, for every task and every batch of it."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_real
from supsup.tasks.arrays import INTEGERS, Inputs, describe, to_tensor

Batch = tuple[Inputs, Int64[Tensor, "_batch"]]

Range = tuple[float, float]
"""What becomes 0 and what becomes 1."""


def parse_name(name: object) -> str:
    """A task's name; raises InvalidInput where it is no text."""
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"task: expected a name, got {name!r}")
    return name


def parse_pair(pair: Any, what: str) -> tuple[Any, Any]:
    """Inputs and labels of what a loader or a data set gives.

    Raises:
        InvalidInput: it is no pair.
    """
    if isinstance(pair, tuple | list) and len(pair) == 2:
        return pair[0], pair[1]
    if isinstance(pair, Mapping):
        found = f"a mapping with {', '.join(map(repr, pair))}"
    elif isinstance(pair, tuple | list):
        found = f"{len(pair)} things"
    else:
        found = describe(pair) if isinstance(pair, Tensor) else type(pair).__name__
    raise InvalidInput(f"{what}: expected a pair of inputs and labels, got {found}; make it (x, y)")


def parse_scale(scale: object, what: str) -> Range | None:
    """The integers that stand for 0 and 1, as floats; None where none are given.

    Raises:
        InvalidInput: not two finite numbers, the smaller one first.
    """
    if scale is None:
        return None
    if not isinstance(scale, tuple | list) or len(scale) != 2:
        raise InvalidInput(f"{what}: scale: expected two numbers, such as (0, 255), got {scale!r}")
    low, high = (
        parse_real(f"{what}: scale", each, "finite numbers", math.isfinite) for each in scale
    )
    if low >= high:
        raise InvalidInput(f"{what}: scale: expected the smaller number first, got {scale!r}")
    return low, high


def parse_inputs(
    value: Any, what: str, *, scale: Range | None = None, finite: bool = True
) -> Inputs:
    """Inputs as tensors: floats rounded to float32, booleans as 0 and 1, integers as they are.

    Args:
        value: a tensor, array or list of images; or a tuple or mapping of them, where the network
            takes several.
        scale: the integers that stand for 0 and 1, such as (0, 255); they become float32.
        finite: whether NaN and infinity are looked for.

    Raises:
        InvalidInput: no numbers, none at all, not finite, outside the scale, or parts of different
            lengths; or a scale where nothing is an integer.
    """
    if isinstance(value, Mapping):
        parts = {str(key): to_tensor(each, f"{what} [{key}]") for key, each in value.items()}
    elif isinstance(value, tuple):
        parts = {str(at): to_tensor(each, f"{what} [{at}]") for at, each in enumerate(value)}
    else:
        parts = {"": to_tensor(value, what)}
    if not parts:
        raise InvalidInput(f"{what}: expected inputs, got an empty {type(value).__name__}")
    if scale is not None and not any(each.dtype in INTEGERS for each in parts.values()):
        raise InvalidInput(
            f"{what}: a scale is for integers, got {_listed(parts)}; leave it out where the "
            "numbers are what the network wants"
        )
    found = {
        name: _parse_input(each, f"{what} [{name}]" if name else what, scale, finite)
        for name, each in parts.items()
    }
    if len({len(each) for each in found.values()}) > 1:
        raise InvalidInput(f"{what}: expected as many images in each, got {_listed(found)}")
    if isinstance(value, Mapping):
        return found
    return tuple(found.values()) if isinstance(value, tuple) else found[""]


def _listed(parts: Mapping[str, Tensor]) -> str:
    return ", ".join(
        f"[{name}] {describe(x)}" if name else describe(x) for name, x in parts.items()
    )


def _parse_input(given: Tensor, what: str, scale: Range | None, finite: bool) -> Tensor:
    if not given.ndim:
        raise InvalidInput(f"{what}: expected a batch, (n, …), got one number {given.item()}")
    if given.dtype in INTEGERS:
        if scale is None:
            return given
        low, high = scale
        _refuse_where((given < low) | (given > high), given, what, f"numbers {low:g} to {high:g}")
        return (given.float() - low) / (high - low)
    x = given.to(torch.float32)
    if finite and not bool(torch.isfinite(x).all()):
        _refuse_where(~torch.isfinite(x), given, what, "finite numbers in float32")
    return x


def _refuse_where(bad: Tensor, given: Tensor, what: str, expected: str) -> None:
    """Raise InvalidInput with the first bad value, if there is one."""
    if bool(bad.any()):
        at = bad.nonzero()[0].tolist()
        raise InvalidInput(
            f"{what}: expected {expected}, found {given[tuple(at)].item():g} at {at} "
            f"({describe(given)})"
        )


def parse_labels(value: Any, what: str, classes: int | None) -> Int64[Tensor, " n"]:
    """Labels as int64 of shape (n,), each from 0 to classes - 1.

    Args:
        value: whole numbers of any type, of shape (n,) or (n, 1); or booleans.
        classes: None where any label from 0 will do.

    Raises:
        InvalidInput: floats, one-hot rows, another shape, a label out of range, or labels that
            count from 1.
    """
    given = to_tensor(value, what)
    if given.ndim == 2 and given.shape[1] > 1:
        raise InvalidInput(
            f"{what}: expected a class number for each image, got {describe(given)}; "
            "one-hot rows or scores become numbers with .argmax(1)"
        )
    if given.dtype not in (*INTEGERS, torch.bool) and given.numel():
        raise InvalidInput(
            f"{what}: expected whole numbers, got {describe(given)}, the first one "
            f"{given.flatten()[0].item():g}; class numbers kept as floats are made labels with "
            ".long()"
        )
    if given.ndim == 2:  # a column
        given = given[:, 0]
    if given.ndim != 1:
        raise InvalidInput(f"{what}: expected shape (n,), got {describe(given)}")
    y = given.long()
    if not y.numel():
        return y
    low, high = torch.stack([y.min(), y.max()]).tolist()
    if low >= 0 and (classes is None or high < classes):
        return y
    if classes is not None and low >= 1 and high == classes:
        raise InvalidInput(
            f"{what}: expected labels from 0 to {classes - 1}, found {low} to {high} and no 0 "
            f"({describe(given)}); if they count from 1, subtract 1"
        )
    upper = "on" if classes is None else f"to {classes - 1}"
    bad = (y < 0) if classes is None else (y < 0) | (y >= classes)
    at = int(bad.nonzero()[0])
    hint = "; images to be ignored are to be left out" if int(y[at]) == -100 else ""
    raise InvalidInput(
        f"{what}: expected labels from 0 {upper}, found {given[at].item()} at [{at}] "
        f"({describe(given)}){hint}"
    )


def parse_batch(
    pair: Any,
    what: str,
    classes: int | None,
    *,
    scale: Range | None = None,
    finite: bool = True,
) -> Batch:
    """A pair of inputs and labels, on the device of the inputs.

    Args:
        what: whose batch it is, for errors.
        classes, scale, finite: as in :func:`parse_labels` and :func:`parse_inputs`.

    Raises:
        InvalidInput: as those do; or there are more of one than of the other.
    """
    given_x, given_y = parse_pair(pair, what)
    x = parse_inputs(given_x, f"{what} inputs", scale=scale, finite=finite)
    y = parse_labels(given_y, f"{what} labels", classes)
    first = next(iter(tensors_of(x)))
    if len(first) != len(y):
        raise InvalidInput(
            f"{what}: expected one label per input, "
            f"got {len(first)} inputs and {len(y)} labels ({describe(first)}, {describe(y)})"
        )
    return x, y.to(first.device)


def tensors_of(x: Inputs) -> tuple[Tensor, ...]:
    """The tensors of inputs, at least one."""
    if isinstance(x, Tensor):
        return (x,)
    return tuple(x.values()) if isinstance(x, dict) else x


def count_of(x: Inputs) -> int:
    """How many images there are."""
    return len(tensors_of(x)[0])


def one_tensor(x: Inputs, what: str) -> Tensor:
    """The tensor of images; raises InvalidInput where the network takes several inputs."""
    if isinstance(x, Tensor):
        return x
    raise InvalidInput(
        f"{what}: each image is {len(x)} inputs, here one tensor of images is expected; "
        "masks are trained, evaluated and inferred with on several, and predict (supsup.SupSup)"
    )


def map_inputs(function: Callable[[Tensor], Tensor], x: Inputs) -> Inputs:
    """A function of each tensor of the inputs."""
    if isinstance(x, Tensor):
        return function(x)
    if isinstance(x, dict):
        return {name: function(each) for name, each in x.items()}
    return tuple(function(each) for each in x)


def join_inputs(parts: Sequence[Inputs], join: Callable[[list[Tensor]], Tensor]) -> Inputs:
    """``join`` (such as :func:`torch.cat`) of each tensor of inputs that are alike."""
    first = parts[0]
    joined = [join(list(each)) for each in zip(*map(tensors_of, parts), strict=True)]
    if isinstance(first, Tensor):
        return joined[0]
    return dict(zip(first, joined, strict=True)) if isinstance(first, dict) else tuple(joined)


def join_batches(batches: Iterable[Batch]) -> Batch | None:
    """All images in one batch; None where there is none."""
    parts = list(batches)
    if not parts:
        return None
    return join_inputs([x for x, _ in parts], torch.cat), torch.cat([y for _, y in parts])


def images_at(x: Inputs, where: slice | Int64[np.ndarray, " n"]) -> Inputs:
    """Some of the images."""
    return map_inputs(lambda each: each[where], x)


def split_inputs(x: Inputs, size: int) -> Iterator[Inputs]:
    """The images in order, ``size`` at a time, the last ones as they come."""
    for start in range(0, count_of(x), size):
        yield images_at(x, slice(start, start + size))


def rows_of(batch: Batch, indices: Int64[Tensor, " n"]) -> Batch:
    """The images of some rows of a batch, and their labels."""
    x, y = batch
    return map_inputs(lambda each: each.index_select(0, indices), x), y.index_select(0, indices)


def split_batch(batch: Batch, size: int) -> Iterator[Batch]:
    """Batches of ``size``, the last one as small as it comes; raises InvalidInput below 1."""
    if size < 1:
        raise InvalidInput(f"test batches: expected a size of at least 1, got {size}")
    x, y = batch
    for start in range(0, len(y), size):
        where = slice(start, start + size)
        yield images_at(x, where), y[where]
