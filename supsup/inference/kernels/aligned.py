"""Masks laid out for rows of a batch that each have a mask of their own, on any device.

In an archive a layer's bits follow each other without a gap; here every unit's begin at a whole
vector, so that kernels find them without shifting. They belong to chains of linear layers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.inference.kernels.base import VECTOR_LENGTH

UNITS = 4
"""Every layer has a multiple of so many units."""

Kept = TypeVar("Kept")
"""What is kept of a mask: it has ``nbytes``."""


class MixedRows(ABC, Generic[Kept]):
    """A chain of linear layers with ReLU between them, each row of a batch under its own mask.

    Bits stay packed, and no W ⊙ M of a task is kept.
    """

    @abstractmethod
    def align(self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout) -> Kept:
        """A mask as :meth:`run` takes it.

        Args:
            packed: as archives store it, of a layout with these layers and no others.
        """

    @abstractmethod
    def run(
        self, masks: Sequence[Kept], x: Float32[Tensor, "batch inputs"]
    ) -> Float32[Tensor, "batch outputs"]:
        """The logits of every row under its own mask.

        Args:
            masks: one a row, the same one for as many rows as you like.
            x: where the layers are.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedLayers:
    """Weights of a chain of linear layers, laid out for masks whose units begin at whole vectors.

    Attributes:
        shapes: (units, inputs) of each layer.
        weights: of each layer, zeros up to whole vectors of inputs and whole blocks of units.
        biases: of each layer, with the zeros of its units; zeros where it has none.
        first_bytes: where each layer's bits begin in an aligned mask; and their end.
    """

    shapes: tuple[tuple[int, int], ...]
    weights: tuple[Float32[np.ndarray, "_ _"], ...]
    biases: tuple[Float32[np.ndarray, " _"], ...]
    first_bytes: tuple[int, ...]

    @classmethod
    def of(
        cls,
        weights: Sequence[Float32[np.ndarray, "_ _"]],
        biases: Sequence[Float32[np.ndarray, " _"] | None],
    ) -> "AlignedLayers":
        """Of the layers' own weights and biases, the first layer first."""
        wide, added, first = [], [], [0]
        for weight, bias in zip(weights, biases, strict=True):
            units, inputs = weight.shape
            size = -(-units // UNITS) * UNITS, whole(inputs)
            wide.append(np.zeros(size, np.float32))
            wide[-1][:units, :inputs] = weight
            added.append(np.zeros(size[0], np.float32))
            if bias is not None:
                added[-1][:units] = bias
            first.append(first[-1] + size[0] * size[1] // 8)
        shapes = tuple((len(weight), weight.shape[1]) for weight in weights)
        return cls(
            shapes=shapes, weights=tuple(wide), biases=tuple(added), first_bytes=tuple(first)
        )

    def align(
        self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout
    ) -> UInt8[np.ndarray, " aligned"]:
        """The bits of a mask, as :meth:`MixedRows.align` takes it, each unit's from a whole vector
        on."""
        out = np.zeros(self.first_bytes[-1], np.uint8)
        layers = zip(layout.layers(), self.shapes, self.weights, self.first_bytes, strict=False)
        for (_, _, where, bits), (units, inputs), wide, first in layers:
            size = wide.shape[1] // 8
            target = out[first : first + wide.shape[0] * size].reshape(-1, size)
            if inputs % 8 == 0:
                target[:units, : inputs // 8] = packed[where].reshape(units, -1)
            else:
                flat = np.unpackbits(packed[where], count=bits, bitorder="little")
                rows = flat.reshape(units, inputs)
                target[:units, : -(-inputs // 8)] = np.packbits(rows, axis=1, bitorder="little")
        return out


def whole(numbers: int) -> int:
    """So many, or as many more as fill whole vectors."""
    return -(-numbers // VECTOR_LENGTH) * VECTOR_LENGTH
