"""A Hopfield memory and its network together: saved, opened, and asked for a mask."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from hopfield import (
    HopfieldMemory,
    Recovery,
    load_memory,
    masks_of,
    recover,
    recover_literally,
    save_memory,
)
from maskstore import CorruptArchive, InvalidInput, MaskLayout
from maskstore.layout import sha256_of_bits
from maskstore.notebook import Shown, first_names
from maskstore.registry import check_one_of
from supsup.choices import RecoveryName
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.recovery.mask_entropy import BATCH, MaskEntropy
from supsup.tasks import TaskRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """What a memory file knows of a mask: no bit of it, but how to recognise it.

    Attributes:
        sha256: of the mask's bits, as in an archive.
        recipe: remakes the task's data; None where the archive had none.
        accept: see :func:`supsup.recovery.mask_entropy.accepted_entropy`; None without the data.
    """

    name: str
    sha256: str
    recipe: dict[str, Any] | None
    accept: float | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MaskMemory(Shown):
    """A memory with what recovery from it needs; no archive is needed to use it.

    Attributes:
        start: mean of the stored patterns.
    """

    memory: HopfieldMemory
    backbone: Backbone
    tasks: tuple[KnownTask, ...]
    start: np.ndarray

    def _shown(self) -> str:
        names = first_names([task.name for task in self.tasks])
        return f"of {self.backbone.name}: {self.memory!r} of {names}"

    @property
    def layout(self) -> MaskLayout:
        """What the masks cover."""
        return self.backbone.layout

    @property
    def data_recipe(self) -> TaskRecipe:
        """The recipe of a task, whose data set's pixels the masks were trained on.

        Raises:
            InvalidInput: no mask has the recipe of its data.
        """
        for task in self.tasks:
            if task.recipe is not None:
                return TaskRecipe.from_json(task.recipe)
        raise InvalidInput(
            "the memory's masks were added by hand, so how images are normalised is not known; "
            "give --dataset and --task"
        )

    def recover(self, x: Tensor, recipe: str = "annealed") -> Recovery:
        """The stored mask that fits unlabelled images best.

        Args:
            recipe: ``annealed`` (:func:`hopfield.recover`), or ``eq6``, one pass over the images by
                the letter of the paper (:func:`hopfield.recover_literally`).

        Raises:
            InvalidInput: no such recipe, or a memory that it does not take.
        """
        check_one_of("recipe", recipe, get_args(RecoveryName))
        entropy = MaskEntropy(self.backbone, x, classes=1)
        calibrated = all(task.accept is not None for task in self.tasks)
        accept = self._accept if calibrated else None
        if recipe == "eq6":
            steps = -(-len(x) // BATCH)
            return recover_literally(
                self.memory, entropy, start=self.start, steps=steps, accept=accept
            )
        return recover(self.memory, entropy, start=self.start, accept=accept)

    def task_of(self, pattern: np.ndarray) -> KnownTask | None:
        """The task whose mask this is, bit for bit; None if it is no task's."""
        found = sha256_of_bits(self.layout.pack(masks_of(pattern, self.layout))).hex()
        return next((task for task in self.tasks if task.sha256 == found), None)

    def _accept(self, pattern: np.ndarray) -> float:
        task = self.task_of(pattern)
        return -np.inf if task is None or task.accept is None else task.accept

    def save(self, path: str | Path) -> int:
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

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        device: str | torch.device = "cpu",
        trusted_net: str | None = None,
    ) -> "MaskMemory":
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
        allowed = network.net == trusted_net
        backbone = build(network, allow_code=allowed, beside=[Path(path).parent])
        backbone.check_digest(digest)
        if backbone.layout != layout or layout.bits != memory.size or not memory.count:
            raise CorruptArchive(f"{path}: its masks are not those of its network {network.net}")
        return cls(
            memory=memory,
            backbone=backbone.to(device),
            tasks=tasks,
            start=np.clip(2 * ones / memory.count - 1, -1, 1),
        )


def _ones(text: str, size: int) -> np.ndarray:
    stored = zlib.decompressobj().decompress(base64.b64decode(text), 4 * size)
    ones = np.frombuffer(stored, "<u4")
    if len(ones) != size:
        raise ValueError(f"{len(ones)} counts for {size} bits")
    return ones.astype(np.float64)
