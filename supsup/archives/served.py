"""Weights of tasks that are asked for again and again: archive → packed bits → W ⊙ M."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.codecs.cache import LruCache
from supsup.archives.classes import class_names_of_mask, require_classes
from supsup.archives.inference import levels_of_masks, trained_on_integers
from supsup.inference.linear import biases_of
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import chain_of
from supsup.tasks.arrays import Inputs

if TYPE_CHECKING:
    from supsup.inference.kernels import MixedRows

PACKED_BYTES = 2**28
"""A bit a weight: over eight thousand masks of LeNet-300-100. Twice, where rows are answered from
bits."""

WEIGHT_BYTES = 2**26
"""Of numbers: what is asked for most needs no bit to be unpacked."""


_KEPT_FACTS = 10_000
"""Tasks of which it is known what is asked of them; then all are asked for anew."""


class TaskFacts(NamedTuple):
    """What a prediction asks of a task, but for its weights.

    Attributes:
        sha256: of the mask.
        classes: how many the mask is for.
        class_names: None where nobody knows them.
        levels: the range of the numbers that it was trained on, if it is known.
        integers: whether these were integers, if it is known.
    """

    sha256: str
    classes: int
    class_names: tuple[str, ...] | None
    levels: tuple[float, float] | None
    integers: bool | None

    @classmethod
    def of(cls, archive: MaskArchive, task: str) -> "TaskFacts":
        """Those of a task; raises TaskNotFound, and InvalidInput where nobody said its classes."""
        stored = archive.task(task)
        names, levels = class_names_of_mask(stored), levels_of_masks([stored])
        integers = trained_on_integers([stored])
        return cls(stored.sha256, require_classes(archive, stored), names, levels, integers)


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
        self._facts: tuple[object, dict[str, TaskFacts]] = (None, {})
        self._aligned: LruCache[str, Any] = LruCache(packed_bytes, lambda mask: mask.nbytes)

    def facts(self, task: str) -> TaskFacts:
        """What a prediction asks of a task, as of the archive's latest state.

        Raises:
            TaskNotFound, InvalidInput: as :meth:`TaskFacts.of`.
        """
        state = self.archive.state
        before, kept = self._facts
        if before is not state or len(kept) >= _KEPT_FACTS:
            kept = {}
            self._facts = (state, kept)
        if task not in kept:
            kept[task] = TaskFacts.of(self.archive, task)
        return kept[task]

    def of(self, task: str) -> dict[str, Tensor]:
        """What :meth:`supsup.Backbone.run` takes for a task; not to be written to.

        Raises:
            TaskNotFound, CorruptArchive: as :meth:`MaskArchive.get`.
        """
        archive = self.archive
        key = self._key(task)

        def packed() -> UInt8[np.ndarray, " bytes"]:
            return self._packed.get(key[0], lambda: archive.get_packed(task))

        def weights() -> dict[str, Tensor]:
            # As numbers, not as truth values: multiplying by those takes three times as long.
            device, masked = self.backbone.device, self.backbone.weights
            numbers = {
                name: torch.from_numpy(mask.view(np.uint8)).to(device, masked[name].dtype)
                for name, mask in archive.layout.unpack(packed()).items()
            }
            own = archive.tensors(task)
            with torch.no_grad():
                effective = {name: each.mul_(masked[name]) for name, each in numbers.items()}
            return effective | self.backbone.on_device(own)

        return self._weights.get(key, weights)

    def needs_making(self, task: str) -> bool:
        """Whether a task's weights are not kept, and others would have to go for them."""
        return self._weights.has_let_go and self._key(task) not in self._weights

    def _key(self, task: str) -> tuple[str, bytes]:
        tensors = self.archive.tensor_entry(task)
        return self.archive.task(task).sha256, b"" if tensors is None else tensors.sha256

    def logits_of_rows(
        self, x: Inputs, tasks: Sequence[str]
    ) -> Float32[Tensor, "batch outputs"] | None:
        """Each row's logits under its own task's mask, on packed bits.

        Args:
            tasks: one a row.

        Returns:
            None where the network is no chain of linear layers, or does not take the data, or is
            on a device that has no kernel for this.
        """
        if self._rows is None or not isinstance(x, Tensor) or x.dtype != torch.float32:
            return None
        chain = chain_of(self.backbone)
        if chain is None or not chain.takes(x):
            return None
        rows, layout, archive = self._rows, self.archive.layout, self.archive
        masks = {
            task: self._aligned.get(
                self.facts(task).sha256,
                lambda task=task: rows.align(archive.get_packed(task), layout),  # type: ignore[misc]
            )
            for task in dict.fromkeys(tasks)
        }
        return rows.run([masks[task] for task in tasks], x.detach().flatten(1))

    @cached_property
    def _rows(self) -> "MixedRows[Any] | None":
        """The frozen weights as the kernel for mixed rows takes them."""
        from supsup.inference.kernels import AlignedLayers, mixed_rows_of

        chain, backbone = chain_of(self.backbone), self.backbone
        if chain is None:
            return None
        layers = AlignedLayers.of(
            [backbone.weights[name].cpu().numpy() for name in chain.weights],
            [
                None if each is None else each.detach().cpu().numpy()
                for each in biases_of(backbone, chain)
            ],
        )
        return mixed_rows_of(layers, backbone.device)
