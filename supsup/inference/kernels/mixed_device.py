"""Rows of a batch that each have a mask of their own, on a device that PyTorch computes on.

With Triton one kernel a layer reads the bits and unpacks nothing in memory; the other way is plain
PyTorch, for some rows at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from maskstore.layout import MaskLayout
from supsup.inference.kernels.aligned import AlignedLayers, MixedRows, whole
from supsup.inference.kernels.torch_ops import UNPACKED_BYTES, unpack


class MaskedLinear(ABC):
    """One linear layer, every row under one of some masks."""

    @abstractmethod
    def run(
        self,
        x: Float32[Tensor, "batch inputs"],
        bits: UInt8[Tensor, "mask bytes"],
        first: int,
        which: Int64[Tensor, " batch"],
        weight: Float32[Tensor, "units inputs"],
        bias: Float32[Tensor, " units"],
        out: Float32[Tensor, "batch width"],
        *,
        rectified: bool,
    ) -> None:
        """Fill the first ``units`` columns of ``out`` with (W ⊙ M) x + b, after ReLU if asked.

        Args:
            bits: aligned masks; this layer's bits are those from byte ``first`` on.
            which: of the masks is each row's.
        """


class TorchMaskedLinear(MaskedLinear):
    """W ⊙ M of some rows at a time."""

    def run(
        self,
        x: Float32[Tensor, "batch inputs"],
        bits: UInt8[Tensor, "mask bytes"],
        first: int,
        which: Int64[Tensor, " batch"],
        weight: Float32[Tensor, "units inputs"],
        bias: Float32[Tensor, " units"],
        out: Float32[Tensor, "batch width"],
        *,
        rectified: bool,
    ) -> None:
        layer = bits[:, first : first + weight.numel() // 8]
        rows = max(1, UNPACKED_BYTES // (4 * weight.numel()))
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            masks = unpack(layer[which[part]]).view(-1, *weight.shape)
            effective = torch.where(masks, weight, 0.0)
            sums = torch.baddbmm(bias[:, None], effective, x[part].unsqueeze(2)).squeeze(2)
            out[part, : len(weight)] = sums.relu_() if rectified else sums


class DeviceMixedRows(MixedRows[UInt8[Tensor, " aligned"]]):
    """Layers and masks on a device."""

    def __init__(
        self, layers: AlignedLayers, device: torch.device, linear: MaskedLinear | None = None
    ) -> None:
        """Put the frozen weights there.

        Args:
            linear: None for the quickest that there is.
        """
        self._layers, self._device = layers, device
        self._linear = linear_of(device) if linear is None else linear
        self._weights = [torch.from_numpy(each).to(device) for each in layers.weights]
        self._biases = [torch.from_numpy(each).to(device) for each in layers.biases]

    def align(
        self, packed: UInt8[np.ndarray, " bytes"], layout: MaskLayout
    ) -> UInt8[Tensor, " aligned"]:
        return torch.from_numpy(self._layers.align(packed, layout)).to(self._device)

    def run(
        self, masks: Sequence[UInt8[Tensor, " aligned"]], x: Float32[Tensor, "batch inputs"]
    ) -> Float32[Tensor, "batch outputs"]:
        place: dict[int, int] = {}
        for mask in masks:
            place.setdefault(id(mask), len(place))
        distinct = {id(mask): mask for mask in masks}
        bits = torch.stack([distinct[each] for each in place])
        rows = [place[id(mask)] for mask in masks]
        which = torch.tensor(rows, dtype=torch.int64, device=self._device)
        before = self._zeros(len(x), self._weights[0].shape[1])
        before[:, : x.shape[1]] = x
        layers = zip(self._weights, self._biases, self._layers.first_bytes, strict=False)
        for at, (weight, bias, first) in enumerate(layers):
            after = self._zeros(len(x), whole(len(weight)))
            rectified = at + 1 < len(self._weights)
            self._linear.run(before, bits, first, which, weight, bias, after, rectified=rectified)
            before = after
        return before[:, : self._layers.shapes[-1][0]]

    def _zeros(self, rows: int, width: int) -> Float32[Tensor, "{rows} {width}"]:
        return torch.zeros((rows, width), dtype=torch.float32, device=self._device)


def linear_of(device: torch.device) -> MaskedLinear:
    """The quickest masked layer that there is on a device."""
    from supsup.inference.kernels import has_triton

    if has_triton(device):
        from supsup.inference.kernels.triton_mixed import TritonMaskedLinear

        return TritonMaskedLinear()
    return TorchMaskedLinear()
