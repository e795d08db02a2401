"""MaskBank: a network and its masks, with what inference derives from them once."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64, UInt8
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput, LayoutMismatch
from maskstore.notebook import Shown, counted, first_names
from maskstore.packed import PackedMasks
from supsup.inference.kernels import Kernels, SparseMasks, kernels_of, sparsify
from supsup.inference.kernels.base import from_flat, to_flat
from supsup.inference.linear import biases_of
from supsup.inference.mask_source import (
    MaskSource,
    Progress,
    Resident,
    Streamed,
    nobody_looks,
    parse_source,
)
from supsup.inference.prototypes import TaskPrototypes
from supsup.inference.task_tensors import TaskTensors
from supsup.networks.backbone import Backbone
from supsup.networks.linear_chain import chain_of
from supsup.tasks.arrays import Inputs

SPARSE_DENSITY = 0.1
"""Below this density a gathered weight is cheaper than the unpacking of all."""

SPARSE_BYTES = 2**30
"""Most memory for unpacked non-zeros; archives with more are evaluated densely."""


class MaskBank(Shown):
    """A backbone and K masks. Make one bank for many calls: its totals are taken once.

    Attributes:
        backbone: the network.
        source: the masks.
        kernels: what works on the packed bits.
        tensors: what the tasks have of their own beside the masks.
        classes: outputs that stand for a class, the first ones; those behind are superfluous. Where
            tasks differ, the most that one has; None where every output is a class.
        class_counts: those of each mask where they differ, so that each answer is looked at over
            the classes of its task; else None.
        levels: the least and the largest number of the images that the masks were trained on; None
            where that is not known. Data of another range are refused.
        integers: whether the masks were trained on integers, such as words; None where that is not
            known.
        progress: called while an inference runs.
        prototypes: what is known of the tasks' data, of all of them or None.
    """

    def __init__(
        self,
        backbone: Backbone,
        masks: PackedMasks | MaskArchive | MaskSource,
        *,
        classes: int | Sequence[int] | None = None,
        levels: tuple[float, float] | None = None,
        integers: bool | None = None,
        tensors: TaskTensors | None = None,
        kernels: Kernels | None = None,
        progress: Progress = nobody_looks,
        prototypes: TaskPrototypes | None = None,
    ) -> None:
        """Put masks and network together.

        Args:
            masks: in memory, which they share with the network: on a GPU they are copied there,
                packed; or an archive, which is then streamed at every call, block by block.
            classes: one number, or one for each mask; None where every output is a class.
            levels: None where any will do.
            integers: None where the network says it.
            tensors: None for those of the archive; a network that has any needs them.
            kernels: None for those of the network's device (:func:`kernels_of`).

        Raises:
            InvalidInput: there is no mask, not one number of classes for each, or the network needs
                more of a task than its mask.
            LayoutMismatch: the masks are not of this network, or the prototypes of other tasks.
            DigestMismatch: the archive's masks are of other weights.
        """
        source = parse_source(masks)
        if isinstance(source, Streamed):
            backbone.check_archive(source.archive)
            tensors = tensors or TaskTensors.of_archive(backbone, source.archive, source.names)
        self.backbone = backbone
        self.kernels = kernels_of(backbone.device) if kernels is None else kernels
        self.source = source.to(backbone.device)
        self.tensors = tensors or TaskTensors.none(backbone)
        self.classes, self.class_counts = _parse_classes(classes, len(self.source.names))
        if self.tensors.uneven and self.class_counts is None:
            widths = self.tensors.head_widths
            assert widths is not None
            self.class_counts = widths if self.classes is None else np.full_like(widths, classes)
            self.classes = int(self.class_counts.max())
        self.levels = levels
        self.integers = integers
        self.progress = progress
        if prototypes is not None and prototypes.names != list(source.names):
            raise LayoutMismatch(
                f"prototypes of {len(prototypes.names)} tasks, masks of {len(source.names)}; "
                "both must be of the same tasks in the same order"
            )
        self.prototypes = prototypes
        if self.source.layout != backbone.layout:
            raise LayoutMismatch(
                f"masks cover {_describe(self.source.layout.shapes)}, "
                f"the network's are {_describe(backbone.layout.shapes)}; "
                "use the network that the masks were trained on"
            )

    def __len__(self) -> int:
        return len(self.source.names)

    def _shown(self) -> str:
        where = "in memory" if self.source.in_memory else "streamed"
        masks = f"{counted(len(self), 'mask')} {where}"
        return f"of {self.backbone.name}: {masks}: {first_names(self.source.names)}"

    @property
    def names(self) -> list[str]:
        """Task names; a task is an index into them everywhere in this package."""
        return list(self.source.names)

    @cached_property
    def weights(self) -> Float32[Tensor, " numbers"]:
        """The flat row of W."""
        return to_flat(self.backbone.layout, self.backbone.weights)

    @cached_property
    def counts(self) -> Int32[Tensor, " numbers"]:
        """How many masks have each bit set."""
        return self.count(None)

    @property
    def density(self) -> float:
        """Share of ones in all masks."""
        return int(self.counts.sum()) / (self.source.layout.bits * len(self))

    @cached_property
    def sparse(self) -> SparseMasks | None:
        """The masks' non-zeros, where evaluating them is cheaper and they fit; else None."""
        from supsup.inference.kernels.cpu import CpuKernels

        ones, chain = int(self.counts.sum()), chain_of(self.backbone)
        if (
            chain is None
            or not isinstance(self.kernels, CpuKernels)
            or not self.source.in_memory
            or self.density >= SPARSE_DENSITY
            or 8 * ones > SPARSE_BYTES
        ):
            return None
        bits = self.source.read(slice(0, len(self)))
        biases = [None if b is None else b.numpy() for b in biases_of(self.backbone, chain)]
        return sparsify(bits.numpy(), self.weights.numpy(), self.source.layout, biases)

    def count(self, rows: Int64[np.ndarray, " n"] | None) -> Int32[Tensor, " numbers"]:
        """How many of the masks of ``rows`` (None: all) have each bit set."""
        size = 8 * self.source.layout.packed_bytes
        counts = torch.zeros(size, dtype=torch.int32, device=self.backbone.device)
        total = len(self) if rows is None else len(rows)
        for where, bits in self.source.blocks(rows):
            self.kernels.count_bits(bits, counts)
            self.progress("superposing", where.stop, total)
        return counts

    def masked(self, rows: slice | Int64[np.ndarray, " n"]) -> dict[str, Tensor]:
        """W ⊙ M of some masks, and the tensors of their tasks, with an axis for them in front."""
        flat = self.kernels.apply_masks(self.source.read(rows), self.weights)
        return from_flat(self.source.layout, flat) | self.tensors.read(rows)

    def append(self, name: str, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """One more mask; the totals follow. Only for masks in memory, all of as many classes."""
        assert isinstance(self.source, Resident)
        assert self.class_counts is None
        counts = self.counts
        self.source.append(name, bits)
        self.kernels.count_bits(self.source.read(slice(len(self) - 1, len(self))), counts)
        self.__dict__.pop("sparse", None)

    def replace(self, index: int, bits: UInt8[np.ndarray, " bytes"]) -> None:
        """Another mask in the place of one; the totals follow. Only for masks in memory."""
        assert isinstance(self.source, Resident)
        counts = self.counts
        where = slice(index, index + 1)
        self.kernels.count_bits(self.source.read(where), counts, -1)
        self.source.replace(index, bits)
        self.kernels.count_bits(self.source.read(where), counts)
        self.__dict__.pop("sparse", None)

    @property
    def spare_outputs(self) -> int:
        """Outputs that stand for no class; 0 where that is not known before the network runs."""
        recipe = self.backbone.recipe
        if recipe is None or self.tensors.head_widths is not None:
            return 0
        return recipe.outputs - self.class_count(recipe.outputs)

    def class_count(self, outputs: int, mask: int | None = None) -> int:
        """Outputs that stand for a class, under one mask or at most.

        Raises:
            InvalidInput: there are fewer outputs.
        """
        if self.classes is None:
            return outputs
        if not 1 <= self.classes <= outputs:
            raise InvalidInput(
                f"classes: expected 1 to {outputs}, the network's outputs, got {self.classes}"
            )
        if mask is None or self.class_counts is None:
            return self.classes
        return int(self.class_counts[mask])

    def run(self, x: Inputs, weights: dict[str, Tensor]) -> Float[Tensor, "batch outputs"]:
        """Logits of the network under ``weights``.

        Raises:
            InvalidInput: the network does not take such data.
        """
        return self.backbone.run(x, weights)


def _parse_classes(
    classes: int | Sequence[int] | None, masks: int
) -> tuple[int | None, Int64[np.ndarray, " mask"] | None]:
    """The most classes that a task has, and those of each mask where not all have as many."""
    if classes is None or isinstance(classes, int):
        return classes, None
    if len(classes) != masks:
        raise InvalidInput(
            f"classes: expected one number, or one for each of {masks} masks, got {len(classes)}"
        )
    counts = np.array(classes, np.int64)
    if counts.min() < 1:
        raise InvalidInput(f"classes: expected numbers from 1, got {counts.min()}")
    return int(counts.max()), None if counts.min() == counts.max() else counts


def _describe(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
