"""Whatever users have as images and labels, on every path: right, or refused in one line.

Each kind of data comes as arrays in memory, as a data set of single images, as a loader of batches,
and from an object of the user's own; as training data and as test data. What arrives must be the
same numbers as plain float32 and int64 tensors hold, or an error that names the task and the fault.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from maskstore.errors import InvalidInput
from supsup import DatasetTask, LoaderTask, TensorTask
from supsup.tasks import checked
from supsup.tasks.batch import tensors_of
from supsup.tasks.checked import check_task, check_tasks, train_batch

COUNT, CLASSES = 12, 3
X = torch.from_numpy(np.random.default_rng(0).integers(-8, 9, (COUNT, 4)).astype(np.float32)) / 4
"""Numbers that every float type holds exactly."""
Y = torch.arange(COUNT) % CLASSES
BYTES = torch.arange(COUNT * 4, dtype=torch.uint8).reshape(COUNT, 4)

PATHS = ("tensors", "dataset", "loader", "custom")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Data as they come, and what is to become of them: ``wanted`` inputs, or an error."""

    x: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    wanted: Any = None
    labels: torch.Tensor | None = None
    error: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = PATHS


def label(y: Any, error: str | None = None, **fields: Any) -> Kind:
    return Kind(y=y, error=error, **fields)


def inputs(x: Any, wanted: Any = None, error: str | None = None, **fields: Any) -> Kind:
    return Kind(x=x, wanted=wanted, error=error, **fields)


def one_bad(values: torch.Tensor, bad: float) -> torch.Tensor:
    values = values.clone()
    values[5 if values.ndim == 1 else (5, 1)] = bad
    return values


def sparse_rows() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return X.to_sparse_csr()


HOT = torch.nn.functional.one_hot(Y, CLASSES)
WHOLE = ("tensors", "loader", "custom")
"""Kinds that are no sequence of single images."""

KINDS = {
    # Labels of any whole type.
    "int64": label(Y),
    "int32": label(Y.int()),
    "int16": label(Y.short()),
    "int8": label(Y.char()),
    "uint8": label(Y.byte()),
    "uint16": label(Y.to(torch.uint16)),
    "uint32": label(Y.to(torch.uint32)),
    "uint64": label(Y.to(torch.uint64)),
    "numpy labels": label(Y.numpy()),
    "big-endian labels": label(Y.numpy().astype(">i4")),
    "list of labels": label(Y.tolist()),
    "list of numpy numbers": label(list(Y.numpy())),
    "list of tensors": label(list(Y)),
    "boolean labels": label(Y > 0, labels=(Y > 0).long()),
    "column": label(Y[:, None]),
    "numpy column": label(Y.numpy()[:, None]),
    "labels of other strides": label(torch.stack([Y, Y], 1)[:, 0]),
    # Labels that are none.
    "float32 labels": label(Y.float(), "expected whole numbers, got float32 .*long"),
    "float64 labels": label(Y.numpy().astype(float), "expected whole numbers, got float64"),
    "list of float labels": label(Y.double().tolist(), "expected whole numbers, got float64"),
    "NaN labels": label(Y.float() * torch.nan, "expected whole numbers"),
    "complex labels": label(Y.to(torch.complex64), "complex numbers"),
    "one-hot": label(HOT, r"one-hot rows or scores become numbers with .argmax"),
    "one-hot floats": label(HOT.float(), "one-hot"),
    "one-hot booleans": label(HOT.bool(), "one-hot"),
    "labels of pixels": label(Y[:, None, None], r"expected shape \(n,\), got int64 of shape"),
    "too large": label(one_bad(Y, 3), r"expected labels from 0 to 2, found 3 at \[.\] \(int64"),
    "negative": label(one_bad(Y, -1), "expected labels from 0 to 2, found -1"),
    "ignored": label(one_bad(Y, -100), "found -100 .*images to be ignored are to be left out"),
    "from one": label(Y + 1, "no 0 .*if they count from 1, subtract 1"),
    "huge": label(Y.numpy().astype(np.uint64) + 2**63, "numbers of 2\\^63 and more"),
    "text": label([str(n) for n in Y.tolist()], "expected numbers, got"),
    "none": label([None] * COUNT, "expected numbers, got"),
    "sparse labels": label(Y.to_sparse(), "dense tensor", paths=WHOLE),
    "fewer labels": label(Y[:-1], "12 inputs and 11 labels|5 labels|one label per", paths=WHOLE),
    # Inputs of any float type.
    "float32": inputs(X),
    "float64": inputs(X.double(), X),
    "float16": inputs(X.half(), X),
    "bfloat16": inputs(X.bfloat16(), X),
    "numpy": inputs(X.numpy(), X),
    "big-endian": inputs(X.numpy().astype(">f8"), X),
    "long double": inputs(X.numpy().astype(np.longdouble), X),
    "read-only": inputs(np.frombuffer(X.numpy().tobytes(), np.float32).reshape(X.shape), X),
    "backwards": inputs(X.numpy()[:, ::-1], X.flip(1)),
    "other strides": inputs(X.T.contiguous().T, X),
    "with gradients": inputs(X.clone().requires_grad_(), X),
    "lists": inputs(X.tolist(), X),
    "list of arrays": inputs(list(X.numpy()), X),
    "booleans": inputs(X > 0, (X > 0).float()),
    "integers": inputs(BYTES, BYTES),
    "integers with a scale": inputs(BYTES, BYTES / 255, options={"scale": (0, 255)}),
    "uint16 with a scale": inputs(
        BYTES.to(torch.uint16), BYTES / 65535, options={"scale": (0, 2**16 - 1)}
    ),
    "several": inputs((X, BYTES), (X, BYTES)),
    "several by name": inputs({"a": X.double(), "b": BYTES}, {"a": X, "b": BYTES}),
    # Inputs that are none.
    "NaN": inputs(one_bad(X, torch.nan), error="expected finite .*found nan at"),
    "infinity": inputs(one_bad(X, torch.inf), error="expected finite .*found inf at"),
    "too large for float32": inputs(
        one_bad(X.double(), 1e300), error="expected finite .*found 1e\\+300 at"
    ),
    "complex": inputs(X.to(torch.complex64), error="complex numbers, complex64"),
    "sparse": inputs(X.to_sparse(), error="dense tensor, .*sparse_coo"),
    "sparse rows": inputs(sparse_rows(), error="dense tensor, .*sparse_csr"),
    "ragged": inputs([*X[:-1].tolist(), [1.0]], error=r"ragged, \[\d+\] is float"),
    "text as inputs": inputs(["a"] * COUNT, error="expected numbers, got"),
    "objects": inputs(np.array([{1}] * COUNT), error="expected numbers, got"),
    "nothing": inputs([None] * COUNT, error="expected numbers, got"),
    "masked": inputs(np.ma.masked_less(X.numpy(), 0), error="a masked array"),
    "pictures": inputs([Image.new("L", (2, 2))] * COUNT, error="a picture .mode L, 2×2"),
    "scale of floats": inputs(
        X, error="a scale is for integers, got float32", options={"scale": (0, 255)}
    ),
    "outside of the scale": inputs(
        BYTES, error=r"expected numbers 0 to 9, found \d+ at", options={"scale": (0, 9)}
    ),
    "a part missing": inputs(
        (X, BYTES[:-1]), error="as many images in each|parts|out of bounds", paths=WHOLE
    ),
}


class Items(Dataset):
    """A data set of single images out of whole ones."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, at: int) -> tuple[Any, Any]:
        return piece(self.x, at), self.y[at]


def piece(x: Any, where: Any) -> Any:
    """A part of inputs, whatever they are; lists are cut as arrays are."""
    if isinstance(x, tuple):
        return tuple(piece(each, where) for each in x)
    if isinstance(x, dict):
        return {name: piece(each, where) for name, each in x.items()}
    if isinstance(x, torch.Tensor) and x.layout != torch.strided:
        return x  # cannot be cut
    return x[where]


class Batches(list):
    """A loader of two batches."""


class Own:
    """A task of the user's own making, which parses nothing."""

    recipe = None
    device = torch.device("cpu")
    name, classes, train_size = "mine", CLASSES, COUNT

    def __init__(self, train: Kind, test: Kind) -> None:
        self.train, self.test = train, test

    def train_batch(self, indices: torch.Tensor) -> Any:
        return self.train.x, self.train.y

    def test_batches(self, size: int) -> Any:
        yield self.test.x, self.test.y


def loaded(kind: Kind) -> Batches:
    halves = (slice(None, COUNT // 2), slice(COUNT // 2, None))
    return Batches((piece(kind.x, half), piece(kind.y, half)) for half in halves)


def make(path: str, train: Kind, test: Kind, options: dict[str, Any]) -> Any:
    if path == "tensors":
        pairs = {"train": (train.x, train.y), "test": (test.x, test.y)}
        return TensorTask("mine", **pairs, classes=CLASSES, **options)
    if path == "dataset":
        sets = {"train": Items(train.x, train.y), "test": Items(test.x, test.y)}
        return DatasetTask("mine", **sets, classes=CLASSES, **options)
    if path == "loader":
        loaders = {"train": loaded(train), "test": loaded(test)}
        return LoaderTask("mine", **loaders, classes=CLASSES, **options)
    return check_task(Own(train, test))


def everything(path: str, task: Any, part: str) -> tuple[Any, torch.Tensor]:
    """All training or all test images of a task, and their labels."""
    if part == "test":
        parts = list(checked.test_batches(task, 6, finite=True))
    elif path == "loader":
        parts = [train_batch(task, torch.arange(6)) for _ in range(2)]
    else:
        parts = [train_batch(task, torch.arange(COUNT))]
    tensors = zip(*(tensors_of(x) for x, _ in parts), strict=True)
    return [torch.cat(each) for each in tensors], torch.cat([y for _, y in parts])


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", KINDS)
def test_right_or_one_line(unchecked, name, path, part):
    kind = KINDS[name]
    if path not in kind.paths:
        return  # a whole that no single images make up
    if path == "custom" and kind.options:
        return  # its maker scales as he likes
    plain = Kind() if not kind.options else Kind(x=BYTES % 10)
    train, test = (kind, plain) if part == "train" else (plain, kind)
    if path == "custom" and part == "train" and "finite" in (kind.error or ""):
        return  # the loss tells: see checked.train_batch
    if kind.error is not None:
        with pytest.raises(InvalidInput, match=kind.error) as caught:
            everything(path, make(path, train, test, kind.options), part)
        message = str(caught.value)
        assert message.startswith(f"task 'mine': {part}")
        assert "\n" not in message
        return
    x, y = everything(path, make(path, train, test, kind.options), part)
    wanted = kind.x if kind.wanted is None else kind.wanted
    parts = tensors_of(wanted)
    assert [each.dtype for each in x] == [each.dtype for each in parts]
    assert all(torch.allclose(*both, equal_nan=True) for both in zip(x, parts, strict=True))
    assert y.dtype == torch.int64
    assert torch.equal(y, Y if kind.labels is None else kind.labels)


def test_the_table_is_long_enough():
    assert len(KINDS) >= 40


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (X, "expected a pair of inputs and labels, got float32 of shape"),
        ((X, Y, Y), "expected a pair of inputs and labels, got 3 things"),
        ({"image": X, "label": Y}, "got a mapping with 'image', 'label'; make it"),
        ((1.0, [0]), "expected a batch, .*got one number 1"),
        (((), Y), "expected inputs, got an empty tuple"),
    ],
)
@pytest.mark.parametrize("path", ["tensors", "loader", "custom"])
def test_what_is_no_pair(unchecked, path, pair, message):
    with pytest.raises(InvalidInput, match=f"task 'mine': train.*{message}"):
        if path == "tensors":
            TensorTask("mine", train=pair, test=(X, Y), classes=CLASSES)
        elif path == "loader":
            task = LoaderTask("mine", train=[pair] * 2, test=[(X, Y)], classes=CLASSES)
            train_batch(task, torch.arange(COUNT))
        else:
            own = Own(Kind(), Kind())
            own.train_batch = lambda indices: pair
            train_batch(own, torch.arange(COUNT))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorTask("", train=(X, Y), test=(X, Y)), "expected a name"),
        (lambda: TensorTask("mine", train=(X, Y), test=(X, Y), classes=0), "classes: expected"),
        (lambda: TensorTask("mine", train=(X, Y + 1), test=(X, Y + 1)), "none is 0"),
        (lambda: TensorTask("mine", train=(X[:0], Y[:0]), test=(X, Y)), "0 inputs and 0 labels"),
        (
            lambda: TensorTask("mine", train=(BYTES, Y), test=(BYTES, Y), scale=(255, 0)),
            "the smaller number first",
        ),
        (
            lambda: TensorTask("mine", train=(BYTES, Y), test=(BYTES, Y), scale=255),
            "scale: expected two numbers",
        ),
        (lambda: DatasetTask("mine", train=Items(X, Y), test=Items(X, Y)), "how many there are"),
        (lambda: DatasetTask("mine", train=iter([]), test=Items(X, Y), classes=3), "have no index"),
        (
            lambda: LoaderTask("mine", train=iter([]), test=[(X, Y)], classes=3),
            "can be gone through again",
        ),
        (lambda: check_task(object()), "got object without name, classes, train_size"),
    ],
)
def test_what_is_no_task(unchecked, make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (DataLoader(TensorDataset(X, Y)), "LoaderTask"),
        (TensorDataset(X, Y), "DatasetTask"),
        ((X, Y), "TensorTask"),
        (X.numpy(), "TensorTask"),
    ],
    ids=["loader", "dataset", "pair", "array"],
)
@pytest.mark.parametrize("one", [True, False], ids=["alone", "in a list"])
def test_data_in_the_place_of_tasks_is_told_what_to_make_of_it(unchecked, data, kind, one):
    with pytest.raises(InvalidInput, match=rf"make a task of it: {kind}\(NAME, train="):
        list(check_tasks(data if one else [data]))


def test_class_names_of_a_data_set_are_counted():
    data = Items(X, Y)
    data.classes = ["a", "b", "c", "d"]
    assert DatasetTask("mine", train=data, test=data).classes == 4


def test_a_custom_task_that_gives_too_little():
    own = Own(Kind(), Kind())
    with pytest.raises(InvalidInput, match="asked for 5 train images, it gave 12"):
        train_batch(own, torch.arange(5))
