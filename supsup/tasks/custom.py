"""Tasks from a user's own data: arrays in memory, or PyTorch data sets."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from maskstore.errors import InvalidInput
from supsup.tasks.batch import (
    Batch,
    Range,
    parse_batch,
    parse_labels,
    parse_name,
    parse_pair,
    parse_scale,
    rows_of,
    split_batch,
)
from supsup.tasks.class_names import Classes, parse_classes
from supsup.tasks.protocol import IndexedTask


class TensorTask(IndexedTask):
    """A task over images and labels in memory; see :class:`supsup.TaskData`."""

    recipe = None

    def __init__(
        self,
        name: str,
        *,
        train: tuple[Any, Any],
        test: tuple[Any, Any],
        classes: Classes | None = None,
        scale: Range | None = None,
    ) -> None:
        """Take pairs of inputs, as the network wants them, and labels 0 … classes-1.

        Args:
            train, test: inputs are tensors, numpy arrays or lists, or a tuple or dict of those
                where the network takes several; labels are whole numbers of any type, of shape
                (n,) or (n, 1).
            classes: how many, or their names; None for one more than the largest label.
            scale: the integers that stand for 0 and 1 where inputs are to be scaled, such as
                (0, 255) of bytes. Without it integers reach the network as they are.

        Raises:
            InvalidInput: there is nothing, counts differ, a label is out of range, or an input is
                no finite number.

        >>> TensorTask("ab", train=([[0.0], [1.0]], [0, 1]), test=([[0.5]], [1])).classes
        2
        """
        self.name = parse_name(name)
        if classes is None:
            classes = _count_classes(name, train, test)
        self.classes, self.class_names = parse_classes(classes, f"task {name!r}")
        scale = parse_scale(scale, f"task {name!r}")
        self._train, self._test = (
            _whole(pair, f"task {name!r}: {part}", self.classes, scale)
            for part, pair in (("train", train), ("test", test))
        )

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self._train[1])

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._train[1].device

    def train_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The training inputs of those indices, and their labels."""
        return rows_of(self._train, indices)

    def train_batches(self, size: int) -> Iterator[Batch]:
        """All training inputs in order."""
        yield from split_batch(self._train, size)

    def test_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The test inputs of those indices, and their labels."""
        return rows_of(self._test, indices)

    @property
    def test_size(self) -> int:
        """Number of test images."""
        return len(self._test[1])

    def test_batches(self, size: int) -> Iterator[Batch]:
        """All test inputs in order."""
        yield from split_batch(self._test, size)


class DatasetTask(IndexedTask):
    """A task over two ``torch.utils.data.Dataset`` with an index, such as torchvision's.

    Images are asked for one by one, in the seeded order of :class:`supsup.TrainConfig`, and made
    into batches as a data loader does; for workers of its own take :class:`supsup.LoaderTask`.
    """

    recipe = None
    device = torch.device("cpu")

    def __init__(
        self,
        name: str,
        *,
        train: Dataset[Any],
        test: Dataset[Any],
        classes: Classes | None = None,
        scale: Range | None = None,
    ) -> None:
        """Take data sets of (input, label).

        Args:
            classes: how many, or their names; None for those that ``train.classes`` names.
            scale: as of :class:`TensorTask`.

        Raises:
            InvalidInput: a data set has no index or no length, or is empty, or says nothing of
                its classes.
        """
        self.name = parse_name(name)
        for part, data in (("train", train), ("test", test)):
            if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
                raise InvalidInput(
                    f"task {name!r}: the {part} data ({type(data).__name__}) have no index; put "
                    "them into a DataLoader and take LoaderTask"
                )
            if not isinstance(data, Sized) or not len(data):
                raise InvalidInput(
                    f"task {name!r}: expected {part} data of at least one image and a length, got "
                    f"{type(data).__name__}"
                )
        if classes is None:
            named = getattr(train, "classes", None)
            if not isinstance(named, Sized):
                raise InvalidInput(
                    f"task {name!r}: {type(train).__name__} does not name its classes; say how "
                    "many there are, classes=…"
                )
            classes = _names_among(named) or len(named)
        self.classes, self.class_names = parse_classes(classes, f"task {name!r}")
        self._train, self._test = train, test
        self._scale = parse_scale(scale, f"task {name!r}")

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self._train)  # type: ignore[arg-type]

    @property
    def test_size(self) -> int:
        """Number of test images."""
        return len(self._test)  # type: ignore[arg-type]

    def train_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The training inputs of those indices, and their labels; raises InvalidInput."""
        return self._batch(self._train, indices, "train")

    def test_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The test inputs of those indices, and their labels; raises InvalidInput."""
        return self._batch(self._test, indices, "test")

    def test_batches(self, size: int) -> Iterator[Batch]:
        """All test inputs in order; raises InvalidInput."""
        for indices in torch.arange(self.test_size, dtype=torch.int64, device="cpu").split(size):
            yield self.test_batch(indices)

    def _batch(self, data: Dataset[Any], indices: Tensor, part: str) -> Batch:
        what = f"task {self.name!r}: {part}"
        pairs = [parse_pair(data[at], f"{what} data [{at}]") for at in indices.tolist()]
        x = _beside([x for x, _ in pairs], f"{what} inputs")
        return parse_batch((x, [y for _, y in pairs]), what, self.classes, scale=self._scale)


def _names_among(classes: object) -> tuple[str, ...] | None:
    """The classes that a data set lists, where those are names."""
    names = tuple(classes) if isinstance(classes, Sequence) else ()
    texts = all(isinstance(each, str) and each for each in names)
    return names if texts and len(set(names)) == len(names) else None


def _count_classes(name: str, train: Any, test: Any) -> int:
    """One more than the largest label."""
    lows, highs = [], []
    for part, pair in (("train", train), ("test", test)):
        what = f"task {name!r}: {part}"
        y = parse_labels(parse_pair(pair, what)[1], f"{what} labels", None)
        if len(y):
            lows.append(int(y.min()))
            highs.append(int(y.max()))
    if lows and min(lows) > 0:
        raise InvalidInput(
            f"task {name!r}: labels: none is 0, the smallest is {min(lows)}; if they count from 1, "
            f"subtract 1, if not, say how many classes there are (classes={max(highs) + 1})"
        )
    return max(highs, default=0) + 1


def _whole(pair: Any, what: str, classes: int, scale: Range | None) -> Batch:
    """A part of a task, which must not be empty."""
    x, y = parse_batch(pair, what, classes, scale=scale)
    if not len(y):
        raise InvalidInput(
            f"{what}: expected one label per input and at least one, got 0 inputs and 0 labels"
        )
    return x, y


def _beside(images: list[Any], what: str) -> Any:
    """Images one after another; where each is several inputs, each of these."""
    first = images[0]
    try:
        if isinstance(first, Mapping):
            return {key: [image[key] for image in images] for key in first}
        if isinstance(first, tuple):
            return tuple([image[at] for image in images] for at in range(len(first)))
    except (KeyError, IndexError, TypeError) as error:
        raise InvalidInput(f"{what}: not all have the parts that the first one has") from error
    return images
