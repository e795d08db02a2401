"""A Hopfield memory and its network together: encode an archive, recover a mask, both by file."""

import base64
import binascii
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hopfield import (
    HopfieldMemory,
    Recovery,
    layer_blocks,
    load_memory,
    masks_of,
    new_memory,
    pattern_of,
    quantised,
    recover,
    save_memory,
)
from hopfield.rules.dense import MatrixMemory
from maskstore import CorruptArchive, InvalidInput, MaskArchive, MaskLayout
from maskstore.layout import sha256_of_bits
from supsup.archives import backbone_of, tasks_of
from supsup.datasets import load
from supsup.networks.backbone import Backbone, build
from supsup.networks.recipe import BackboneRecipe
from supsup.recovery.calibration import accepted_entropy
from supsup.recovery.mask_entropy import MaskEntropy
from supsup.tasks import TaskRecipe, make_task, task_family
from supsup.training.metadata import TaskMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """What a memory file knows of a mask: no bit of it, but how to recognise it.

    Attributes:
        sha256: of the mask's bits, as in an archive.
        recipe: remakes the task's data; None where the archive had none.
        accept: see :func:`supsup.recovery.calibration.accepted_entropy`; None without the data.
    """

    name: str
    sha256: str
    recipe: dict[str, Any] | None
    accept: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskMemory:
    """A memory with what recovery from it needs; no archive is needed to use it.

    Attributes:
        start: mean of the stored patterns.
    """

    memory: HopfieldMemory
    backbone: Backbone
    tasks: tuple[KnownTask, ...]
    start: np.ndarray

    @property
    def layout(self) -> MaskLayout:
        """What the masks cover."""
        return self.backbone.layout

    @property
    def dataset(self) -> str:
        """The data set whose pixels the masks were trained on.

        Raises:
            InvalidInput: no mask has the recipe of its data.
        """
        for task in self.tasks:
            if task.recipe is not None:
                return TaskRecipe.from_json(task.recipe).dataset
        raise InvalidInput(
            "the memory's masks were added by hand, so how images are normalised is not known; "
            "give --dataset and --task"
        )

    def recover(self, x: Tensor) -> Recovery:
        """The stored mask that fits unlabelled images best."""
        entropy = MaskEntropy(self.backbone, x, classes=1)
        calibrated = all(task.accept is not None for task in self.tasks)
        return recover(
            self.memory, entropy, start=self.start, accept=self._accept if calibrated else None
        )

    def task_of(self, pattern: np.ndarray) -> KnownTask | None:
        """The task whose mask this is, bit for bit; None if it is no task's."""
        found = sha256_of_bits(self.layout.pack(masks_of(pattern, self.layout))).hex()
        return next((task for task in self.tasks if task.sha256 == found), None)

    def _accept(self, pattern: np.ndarray) -> float:
        task = self.task_of(pattern)
        return -np.inf if task is None or task.accept is None else task.accept

    def save(self, path: Path) -> int:
        """Write the memory file; returns its bytes. Raises as :func:`hopfield.save_memory`."""
        ones = np.rint((self.start + 1) / 2 * self.memory.count).astype("<u4")
        assert self.backbone.recipe is not None
        recipe = {
            "layout": self.layout.to_json(),
            "backbone": self.backbone.recipe.to_json(),
            "weights_digest": self.backbone.digest,
            "tasks": [
                {
                    "name": task.name,
                    "sha256": task.sha256,
                    "task": task.recipe,
                    "accept": task.accept,
                }
                for task in self.tasks
            ],
            # How many masks have each bit set: the mean, where recovery starts.
            "ones": base64.b64encode(zlib.compress(ones.tobytes(), 9)).decode(),
        }
        return save_memory(path, self.memory, recipe)


def encode_archive(
    archive: MaskArchive,
    *,
    rule: str = "projection",
    form: str | None = None,
    bits: int | None = None,
    device: str | torch.device = "cpu",
    trusted_net: str | None = None,
    data_dir: Path | None = None,
    on_task: Callable[[str], None] = lambda name: None,
) -> MaskMemory:
    """A memory of all masks of an archive.

    Args:
        rule, form: see :func:`hopfield.new_memory`.
        bits: of each synapse; None for float32.

    Raises:
        InvalidInput: an empty archive or one without a network, masks too large for the rule, or
            bits for a memory that is no matrix.
    """
    backbone = backbone_of(archive, device=device, trusted_net=trusted_net)
    if not len(archive):
        raise InvalidInput(f"{archive.path}: no masks to encode; add some first")
    layout = archive.layout
    blocks = layer_blocks(layout) if form == "blocks" else ()
    memory = new_memory(rule, layout.bits, form=form, blocks=blocks)
    calibrated = all(TaskMetadata.of(stored).task for stored in archive)
    data = tasks_of(archive, data_dir) if calibrated else repeat(None)
    total = np.zeros(layout.bits)
    known = []
    for stored, task in zip(archive, data, strict=calibrated):
        pattern = pattern_of(archive.get(stored.name), layout)
        memory.encode(pattern)
        total += pattern
        mask = (pattern + 1.0) / 2
        known.append(
            KnownTask(
                name=stored.name,
                sha256=stored.sha256,
                recipe=TaskMetadata.of(stored).task,
                accept=None if task is None else accepted_entropy(backbone, task, mask),
            )
        )
        on_task(stored.name)
    if bits is not None:
        if not isinstance(memory, MatrixMemory):
            raise InvalidInput(f"bits: only a matrix is rounded, form {memory.form!r} has none")
        memory = quantised(memory, bits)
    return MaskMemory(
        memory=memory, backbone=backbone, tasks=tuple(known), start=total / memory.count
    )


def open_memory(
    path: Path, *, device: str | torch.device = "cpu", trusted_net: str | None = None
) -> MaskMemory:
    """The memory of a file, with its network regenerated and compared with the recorded digest.

    Raises:
        ArchiveNotFound, NotAnArchive, CorruptArchive: no memory file, or a damaged one.
        DigestMismatch: the weights are not those that the masks were trained on.
        InvalidInput: the network is code of the user's that is not trusted.
    """
    memory, recipe = load_memory(path)
    try:
        layout = MaskLayout.from_json(recipe["layout"])
        network = BackboneRecipe.from_json(recipe["backbone"])
        tasks = tuple(
            KnownTask(
                name=str(each["name"]),
                sha256=str(each["sha256"]),
                recipe=each["task"],
                accept=None if each["accept"] is None else float(each["accept"]),
            )
            for each in recipe["tasks"]
        )
        ones = _ones(recipe["ones"], memory.size)
        digest = str(recipe["weights_digest"])
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise CorruptArchive(
            f"{path}: not a memory that `supsup-store encode` made ({error})"
        ) from error
    backbone = build(network, allow_code=network.net == trusted_net)
    backbone.check_digest(digest)
    if backbone.layout != layout or layout.bits != memory.size or not memory.count:
        raise CorruptArchive(f"{path}: its masks are not those of its network {network.net}")
    return MaskMemory(
        memory=memory,
        backbone=backbone.to(device),
        tasks=tasks,
        start=np.clip(2 * ones / memory.count - 1, -1, 1),
    )


def find_recipe(known: MaskMemory, dataset: str, name: str) -> TaskRecipe:
    """The recipe of a task by name: the memory's own, or one of the family that it never saw.

    Raises:
        InvalidInput: the family has no such task.
    """
    for task in known.tasks:
        if task.name == name and task.recipe is not None:
            recipe = TaskRecipe.from_json(task.recipe)
            if dataset == f"{recipe.rule}-{recipe.dataset}":
                return recipe
    _, _, number = name.rpartition("/")
    assert known.backbone.recipe is not None
    if number.isdecimal():
        family = task_family(dataset, int(number) + 1, seed=known.backbone.recipe.seed)
        if family[-1].name == name:
            return family[-1]
    raise InvalidInput(f"task {name!r}: {dataset} has none of that name; write it as NAME/NUMBER")


def task_by_name(known: MaskMemory, dataset: str, name: str, data_dir: Path | None) -> Any:
    """The task itself; raises as :func:`find_recipe`, or where its data are not at hand."""
    recipe = find_recipe(known, dataset, name)
    return make_task(recipe, load(recipe.dataset, data_dir))


def _ones(text: str, size: int) -> np.ndarray:
    stored = zlib.decompressobj().decompress(base64.b64decode(text), 4 * size)
    ones = np.frombuffer(stored, "<u4")
    if len(ones) != size:
        raise ValueError(f"{len(ones)} counts for {size} bits")
    return ones.astype(np.float64)
