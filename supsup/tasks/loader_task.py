"""A task over a user's own data loaders."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from maskstore.errors import InvalidInput
from supsup.tasks.batch import Batch, Range, parse_batch, parse_name, parse_pair, parse_scale
from supsup.tasks.class_names import Classes, parse_classes
from supsup.tasks.protocol import ParsedTask


class LoaderTask(ParsedTask):
    """A task over two data loaders, which may have workers and augmentations of their own.

    The loader chooses the images: the seeded order of :class:`supsup.TrainConfig` has no part in
    it, and two trainings are alike only if the loader's generator makes them so. Its batches must
    be of the configuration's size; a smaller last one is left out.
    """

    recipe = None
    device = torch.device("cpu")

    def __init__(
        self,
        name: str,
        *,
        train: Iterable[Any],
        test: Iterable[Any],
        classes: Classes,
        scale: Range | None = None,
    ) -> None:
        """Take loaders of (inputs, labels), which are parsed batch by batch.

        ``train_size`` becomes the number of images that ``train`` gives in one pass, whatever its
        data set holds.

        Args:
            classes: how many, or their names.
            train, test: data loaders, or whatever gives batches again and again and has a length.
            scale: as of :class:`supsup.TensorTask`.

        Raises:
            InvalidInput: not loaders, no number of classes, or a loader of training images that
                does not say how many it gives.
        """
        self.name = parse_name(name)
        for part, loader in (("train", train), ("test", test)):
            if isinstance(loader, Iterator) or not isinstance(loader, Iterable):
                raise InvalidInput(
                    f"task {name!r}: expected a DataLoader of {part} images, which can be gone "
                    f"through again and again, got {type(loader).__name__}"
                )
        self.classes, self.class_names = parse_classes(classes, f"task {name!r}")
        self._train, self._test = train, test
        self._scale = parse_scale(scale, f"task {name!r}")
        self.train_size = _images_of(train, f"task {name!r}: train loader")
        self._batches = self._endless()

    def train_batch(self, indices: Int64[Tensor, " batch"]) -> Batch:
        """The loader's next batch, whatever the indices.

        Raises:
            InvalidInput: it is of another size, or cannot be used.
        """
        x, y = next(self._batches)
        if len(y) != len(indices):
            raise InvalidInput(
                f"task {self.name!r}: its loader gives batches of {len(y)}, the training asks "
                f"for {len(indices)}; make them the same"
            )
        return x, y

    def test_batches(self, size: int) -> Iterator[Batch]:
        """The loader's test batches, whatever the size; raises InvalidInput."""
        for pair in self._test:
            yield self._parsed(pair, "test")

    def _endless(self) -> Iterator[Batch]:
        while True:
            largest = 0
            for pair in self._train:
                x, y = self._parsed(pair, "train")
                if len(y) < largest:
                    continue
                largest = len(y)
                yield x, y
            if not largest:
                raise InvalidInput(f"task {self.name!r}: its loader gives no training batches")

    def _parsed(self, pair: Any, part: str) -> Batch:
        what = f"task {self.name!r}: {part}"
        x, y = parse_pair(pair, f"{what} batch")
        # PyTorch collates a tuple of inputs into a list; another list holds images.
        if isinstance(x, list) and all(
            isinstance(each, Tensor) and each.shape[:1] == (len(y),) for each in x
        ):
            x = tuple(x)
        return parse_batch((x, y), what, self.classes, scale=self._scale)


def _images_of(loader: Any, what: str) -> int:
    """Images in one pass of a loader, by its length."""
    try:
        batches = len(loader)
    except TypeError as error:
        raise InvalidInput(
            f"{what} has no length ({error}); give its sampler or data set a __len__"
        ) from error
    size = getattr(loader, "batch_size", None)
    if isinstance(loader, DataLoader) and size is not None and not loader.drop_last:
        streamed = isinstance(loader.dataset, IterableDataset)
        return len(loader.dataset if streamed else loader.sampler)  # type: ignore[arg-type]
    if size is None:
        size = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
    if size is None:  # only a batch tells
        for pair in loader:
            size = len(parse_pair(pair, what)[1])
            break
    return batches * int(size or 0)
