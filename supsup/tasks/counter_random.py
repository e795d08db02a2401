"""Random numbers for a batch that depend on nothing but its indices and a key."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

# SplitMix64 (Steele et al., 2014), its constants as signed 64-bit integers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def draws(key: int, indices: Int64[Tensor, " b"], numbers: int) -> Float32[Tensor, "b number"]:
    """Numbers evenly spread over [0, 1), the same bits on every device.

    They hash the key with the whole batch's indices in their order. So an image gets other numbers
    in every pass over the data, and yet there is no state: a training that starts again, or in
    company, sees what it saw before. Integers only, so nothing waits for the device.

    Args:
        key: 0 to 2**63 - 1.
    """
    place = torch.arange(len(indices), dtype=torch.int64, device=indices.device)
    batch = _mix(_mix(indices + key) + place * _STEP).sum()
    cell = torch.arange(len(indices) * numbers, dtype=torch.int64, device=indices.device)
    words = _mix(batch + cell * _STEP)
    return (_shifted(words, 40).float() * 2.0**-24).view(len(indices), numbers)


def _mix(word: Int64[Tensor, "*n"]) -> Int64[Tensor, "*n"]:
    word = (word ^ _shifted(word, 30)) * _FIRST
    word = (word ^ _shifted(word, 27)) * _SECOND
    return word ^ _shifted(word, 31)


def _shifted(word: Int64[Tensor, "*n"], by: int) -> Int64[Tensor, "*n"]:
    """To the right, zeros from the left: integers have a sign, the hash has none."""
    return (word >> by) & (2 ** (64 - by) - 1)
