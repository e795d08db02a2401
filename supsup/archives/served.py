"""Weights of tasks that are asked for again and again: archive → packed bits → W ⊙ M."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.codecs.cache import LruCache
from supsup.networks.backbone import Backbone

PACKED_BYTES = 2**28
"""A bit a weight: over eight thousand masks of LeNet-300-100."""

WEIGHT_BYTES = 2**26
"""Of numbers: what is asked for most needs no bit to be unpacked."""


class TaskWeights:
    """W ⊙ M of tasks, kept within bounds; threads share it.

    What is kept is known by the digests of mask and tensors, so that a task that is removed, or
    added anew, or whose tensors are replaced, is never answered with what it was.
    """

    def __init__(
        self,
        archive: MaskArchive,
        backbone: Backbone,
        *,
        packed_bytes: int = PACKED_BYTES,
        weight_bytes: int = WEIGHT_BYTES,
    ) -> None:
        """Keep nothing yet.

        Args:
            packed_bytes: most bytes of packed masks.
            weight_bytes: most bytes of weights; the task asked for last is kept in any case.
        """
        self.archive, self.backbone = archive, backbone
        self._packed: LruCache[str, UInt8[np.ndarray, " bytes"]] = LruCache(packed_bytes, len)
        self._weights: LruCache[tuple[str, bytes], dict[str, Tensor]] = LruCache(
            weight_bytes, lambda kept: sum(each.nbytes for each in kept.values())
        )

    def of(self, task: str) -> dict[str, Tensor]:
        """What :meth:`supsup.Backbone.run` takes for a task; not to be written to.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`MaskArchive.get`.
        """
        archive, sha256 = self.archive, self.archive.task(task).sha256
        tensors = archive.tensor_entry(task)
        key = sha256, b"" if tensors is None else tensors.sha256

        def packed() -> UInt8[np.ndarray, " bytes"]:
            return self._packed.get(sha256, lambda: archive.get_packed(task))

        def weights() -> dict[str, Tensor]:
            # As numbers, not as truth values: multiplying by those takes three times as long.
            device, masked = self.backbone.device, self.backbone.weights
            numbers = {
                name: torch.from_numpy(mask.view(np.uint8)).to(device, masked[name].dtype)
                for name, mask in archive.layout.unpack(packed()).items()
            }
            own = {} if tensors is None else archive.tensors(task)
            with torch.no_grad():
                effective = {name: each.mul_(masked[name]) for name, each in numbers.items()}
            return effective | self.backbone.on_device(own)

        return self._weights.get(key, weights)
