"""What tells a user's data from others: digests and counts, kept with the mask trained on them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from supsup.tasks.batch import Batch, tensors_of
from supsup.tasks.checked import check_task, test_batches
from supsup.tasks.custom import TensorTask
from supsup.tasks.protocol import TaskData

_DIGITS = 32
"""Hexadecimal digits of a digest that are kept: 128 bits."""
_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The data of a task that nothing remakes.

    Attributes:
        test: digest (sha256, hex) of the test images and labels in their order, whatever their
            batches and whatever they came from.
        train: that of the training data where these are arrays; None where they come one by one,
            from a loader or through random transforms.
        train_size, test_size: numbers of images.
        low, high: the least and the largest number of the test images; None for integers.
    """

    test: str
    train: str | None
    train_size: int
    test_size: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, task: TaskData) -> "Fingerprint":
        """That of a task; its test data are gone through once.

        Raises:
            InvalidInput: the data cannot be used.
        """
        check_task(task)
        test = _Reader()
        test.read(test_batches(task, _AT_A_TIME, finite=True))
        train = None
        if isinstance(task, TensorTask):
            reader = _Reader()
            reader.read(task.train_batches(_AT_A_TIME))
            train = reader.digest
        return cls(
            test=test.digest,
            train=train,
            train_size=task.train_size,
            test_size=test.count,
            low=test.low,
            high=test.high,
        )

    def difference(self, other: "Fingerprint") -> str | None:
        """What the first and the other data differ in; None where they are the same."""
        for what in ("train_size", "test_size"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                return f"{what.replace('_size', '')} images: {mine} and {its}"
        if self.test != other.test:
            return f"test images or labels: digests {self.test[:8]}… and {other.test[:8]}…"
        if None not in (self.train, other.train) and self.train != other.train:
            return "training images or labels"
        return None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "Fingerprint | None":
        """The inverse of :meth:`to_json`; None for anything else."""
        if not isinstance(value, Mapping) or value.keys() != set(cls.__dataclass_fields__):
            return None
        kinds: dict[str, Any] = {"test": str, "train": str, "low": float, "high": float}
        for name, each in value.items():
            optional = name in ("train", "low", "high")
            if type(each) is not kinds.get(name, int) and not (optional and each is None):
                return None
        return cls(**value)


class _Reader:
    """Digest, count and range of batches, which do not depend on where one ends."""

    def __init__(self) -> None:
        self.count = 0
        self.low: float | None = None
        self.high: float | None = None
        self._hashes: list[Any] = []

    def read(self, batches: Iterable[Batch]) -> None:
        """Take all images and labels."""
        for x, y in batches:
            parts = [*tensors_of(x), y]
            if not self._hashes:
                heads = [f"{part.dtype} {tuple(part.shape[1:])}".encode() for part in parts]
                self._hashes = [hashlib.sha256(head) for head in heads]
            for part, each in zip(parts, self._hashes, strict=True):
                each.update(part.contiguous().cpu().numpy().data)
            for part in parts[:-1]:
                if part.dtype == torch.float32 and part.numel():
                    low, high = torch.stack([part.min(), part.max()]).tolist()
                    self.low = low if self.low is None else min(self.low, low)
                    self.high = high if self.high is None else max(self.high, high)
            self.count += len(y)

    @property
    def digest(self) -> str:
        """Of all parts together."""
        return hashlib.sha256(b"".join(h.digest() for h in self._hashes)).hexdigest()[:_DIGITS]
