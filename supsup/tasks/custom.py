"""Tasks from a user's own data: tensors in memory, or PyTorch data loaders."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader

from maskstore.errors import InvalidInput


class TensorTask:
    """A task over images and labels in memory; see :class:`supsup.TaskData`."""

    recipe = None

    def __init__(
        self,
        name: str,
        *,
        train: tuple[Float[Tensor, "train ..."], Int64[Tensor, " train"]],
        test: tuple[Float[Tensor, "test ..."], Int64[Tensor, " test"]],
        classes: int | None = None,
    ) -> None:
        """Take pairs of inputs, as the network wants them, and labels 0 … classes-1.

        Args:
            classes: how many; None for one more than the largest label.

        Raises:
            InvalidInput: there is nothing, counts differ, or a label is out of range.
        """
        self.name = name
        for part, (x, y) in (("train", train), ("test", test)):
            if not len(y) or len(x) != len(y):
                raise InvalidInput(
                    f"task {name!r}: expected one label per {part} input and at least one, "
                    f"got {len(x)} inputs and {len(y)} labels"
                )
        found = int(max(train[1].max(), test[1].max())) + 1
        self.classes = found if classes is None else classes
        if found > self.classes or int(min(train[1].min(), test[1].min())) < 0:
            raise InvalidInput(
                f"task {name!r}: expected labels from 0 to {self.classes - 1}, found others"
            )
        self._train, self._test = train, test

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self._train[1])

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._train[1].device

    def train_batch(
        self, indices: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """The training inputs of those indices, and their labels."""
        x, y = self._train
        return x.index_select(0, indices), y.index_select(0, indices)

    def test_batches(
        self, size: int
    ) -> Iterator[tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]]:
        """All test inputs in order."""
        x, y = self._test
        yield from zip(x.split(size), y.split(size), strict=True)


class LoaderTask:
    """A task over two data loaders, which may have workers and augmentations of their own.

    The loader chooses the images: the seeded order of :class:`supsup.TrainConfig` has no part in
    it, and two trainings are alike only if the loader's generator makes them so. Its batches must
    be of the configuration's size; a smaller last one is left out.
    """

    recipe = None
    device = torch.device("cpu")

    def __init__(
        self, name: str, *, train: DataLoader[Any], test: DataLoader[Any], classes: int
    ) -> None:
        """Take loaders of (inputs, labels)."""
        self.name, self.classes = name, classes
        self._train, self._test = train, test
        self._batches = self._endless()

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self._train.dataset)  # type: ignore[arg-type]

    def train_batch(
        self, indices: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """The loader's next batch, whatever the indices.

        Raises:
            InvalidInput: it is of another size.
        """
        x, y = next(self._batches)
        if len(y) != len(indices):
            raise InvalidInput(
                f"task {self.name!r}: its loader gives batches of {len(y)}, the training asks "
                f"for {len(indices)}; make them the same"
            )
        return x, y

    def test_batches(
        self, size: int
    ) -> Iterator[tuple[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]]]:
        """The loader's test batches, whatever the size."""
        yield from self._test

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            largest = 0
            for x, y in self._train:
                if len(y) < largest:
                    continue
                largest = len(y)
                yield x, y
            if not largest:
                raise InvalidInput(f"task {self.name!r}: its loader gives no training batches")
