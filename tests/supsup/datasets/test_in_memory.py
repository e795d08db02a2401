import gzip
import hashlib
import urllib.request
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.datasets import SOURCES, load
from supsup.datasets import catalog as catalog_module
from supsup.datasets import idx_files as files
from supsup.datasets.catalog import IDX_FILES
from tests.supsup.datasets.helpers import arrays, dataset, idx_bytes, write_files

FASHION_SEED = 7


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """Small stand-ins for MNIST and Fashion-MNIST on a file:// mirror, and an empty cache.

    Returns the folder of the mirror, which holds a sub-folder for each.
    """
    known = dict(SOURCES)
    for name, seed in (("mnist", 0), ("fashion-mnist", FASHION_SEED)):
        folder = tmp_path / "remote" / name
        folder.mkdir(parents=True)
        contents = [idx_bytes(array) for array in arrays(seed)]
        for file, content in zip(IDX_FILES, contents, strict=True):
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        known[name] = replace(
            SOURCES[name],
            md5=tuple(hashlib.md5(content).hexdigest() for content in contents),
            url=folder.as_uri() + "/",
        )
    monkeypatch.setattr(catalog_module, "SOURCES", known)
    monkeypatch.setattr(files, "SOURCES", known)
    cache = tmp_path / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **options: cache / name)
    monkeypatch.delenv("SUPSUP_DATA", raising=False)
    return tmp_path / "remote"


@pytest.fixture
def offline(monkeypatch):
    def refuse(url, timeout):
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def check(loaded, seed=0):
    train_x, train_y, test_x, test_y = arrays(seed)
    np.testing.assert_array_equal(loaded.train_images, train_x)
    np.testing.assert_array_equal(loaded.train_labels, train_y)
    np.testing.assert_array_equal(loaded.test_images, test_x)
    np.testing.assert_array_equal(loaded.test_labels, test_y)
    assert loaded.train_images.dtype == torch.uint8
    assert loaded.train_labels.dtype == torch.int64


@pytest.mark.parametrize("sub", ["", "mnist"])
@pytest.mark.parametrize("through", ["argument", "environment"])
def test_reads_local_files(remote, offline, tmp_path, monkeypatch, sub, through):
    write_files(tmp_path / "data" / sub, arrays())
    if through == "argument":
        check(load("mnist", tmp_path / "data"))
    else:
        monkeypatch.setenv("SUPSUP_DATA", str(tmp_path / "data"))
        check(load("mnist"))


def test_downloads_once_into_the_cache(remote, tmp_path, monkeypatch, capsys):
    check(load("mnist", quiet=True))
    assert capsys.readouterr() == ("", "")
    cached = tmp_path / "cache" / "supsup-store" / "mnist"
    assert sorted(path.name for path in cached.iterdir()) == sorted(f"{n}.gz" for n in IDX_FILES)
    monkeypatch.setattr(urllib.request, "urlopen", None)
    check(load("mnist"))


def test_downloads_only_what_is_missing(remote, tmp_path):
    write_files(tmp_path / "data", arrays())
    (tmp_path / "data" / IDX_FILES[2]).unlink()
    check(load("mnist", tmp_path / "data", quiet=True))
    cached = tmp_path / "cache" / "supsup-store" / "mnist"
    assert [path.name for path in cached.iterdir()] == [f"{IDX_FILES[2]}.gz"]


def test_a_folder_of_mnist_does_not_hide_fashion_mnist(remote, tmp_path, monkeypatch):
    write_files(tmp_path / "data", arrays())
    monkeypatch.setenv("SUPSUP_DATA", str(tmp_path / "data"))
    check(load("mnist"))
    check(load("fashion-mnist", quiet=True), FASHION_SEED)


def test_without_network_one_line_says_what_to_put_where(remote, offline, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InvalidInput) as caught:
        load("mnist", tmp_path / "data", quiet=True)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        *IDX_FILES,
        "Temporary failure in name resolution",
        f"into {tmp_path / 'data' / 'mnist'}",
        str(tmp_path / "cache" / "supsup-store" / "mnist"),
    ):
        assert part in message
    with pytest.raises(InvalidInput, match=f"into {tmp_path / 'cache' / 'supsup-store'}"):
        load("mnist", quiet=True)


def test_a_wrong_checksum_names_both(remote, offline, tmp_path):
    changed = arrays()
    changed[1] = np.roll(changed[1], 1)
    write_files(tmp_path / "data", changed)
    with pytest.raises(InvalidInput) as caught:
        load("mnist", tmp_path / "data")
    message = str(caught.value)
    assert str(tmp_path / "data" / IDX_FILES[1]) in message
    assert hashlib.md5(idx_bytes(arrays()[1])).hexdigest() in message
    assert hashlib.md5(idx_bytes(changed[1])).hexdigest() in message


@pytest.mark.parametrize("damage", ["another file", "cut"])
def test_a_damaged_download_does_not_stay(remote, tmp_path, damage):
    path = remote / "mnist" / f"{IDX_FILES[3]}.gz"
    whole = path.read_bytes()
    other = gzip.compress(idx_bytes(np.zeros(20, np.uint8)))
    path.write_bytes(whole[:-9] if damage == "cut" else other)
    with pytest.raises(InvalidInput, match=f"{IDX_FILES[3]}.gz: what was downloaded is damaged"):
        load("mnist", quiet=True)
    assert len(list((tmp_path / "cache" / "supsup-store" / "mnist").iterdir())) == 3
    path.write_bytes(whole)
    check(load("mnist", quiet=True))


def test_an_unreadable_local_file_is_an_error_not_a_download(remote, tmp_path):
    write_files(tmp_path / "data", arrays())
    (tmp_path / "data" / IDX_FILES[0]).write_bytes(b"<html>")
    with pytest.raises(InvalidInput, match="not an IDX file"):
        load("mnist", tmp_path / "data")


def test_unknown_names_and_folders(tmp_path):
    with pytest.raises(InvalidInput, match="'cifar'; known: mnist, fashion-mnist, mnist-sample"):
        load("cifar")
    for name in ("mnist", "mnist-sample"):  # the sample's files are the package's own
        with pytest.raises(InvalidInput, match="nowhere: no such folder"):
            load(name, tmp_path / "nowhere")


LABELS = dataset().train_labels
BAD = {
    "label high": ({"train_labels": LABELS + 1}, "train labels from 0 to 9, found 10"),
    "label low": ({"train_labels": LABELS - 1}, "train labels from 0 to 9, found -1"),
    "count": ({"test_labels": LABELS}, "got 20 images and 40 labels"),
    "empty": (
        {
            "train_images": torch.zeros(0, 28, 28, dtype=torch.uint8),
            "train_labels": torch.zeros(0, dtype=torch.int64),
        },
        "got 0 images",
    ),
    "float": ({"train_images": torch.zeros(40, 28, 28)}, "as uint8.*float32"),
    "flat": ({"train_images": torch.zeros(40, 784, dtype=torch.uint8)}, r"\(40, 784\)"),
    "label dtype": ({"train_labels": LABELS.int()}, "as int64.*int32"),
    "label axes": ({"train_labels": LABELS[:, None]}, r"\(40, 1\)"),
    "sizes": ({"test_images": torch.zeros(20, 8, 8, dtype=torch.uint8)}, "expected one size"),
    "std": ({"std": 0.0}, "std above 0"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_a_dataset_refuses(changes, message, unchecked):
    with pytest.raises(InvalidInput, match=message):
        dataset(**changes)


def test_moving_keeps_everything():
    moved = dataset(name="mine", mean=0.25, std=0.5).to("cpu")
    check(moved)
    assert (moved.name, moved.classes, moved.mean, moved.std) == ("mine", 10, 0.25, 0.5)


@pytest.mark.cuda
def test_moving_to_a_gpu():
    moved = dataset().to("cuda")
    for tensor in (
        moved.train_images, moved.train_labels, moved.test_images, moved.test_labels,
    ):  # fmt: skip
        assert tensor.device.type == "cuda"
    check(moved.to("cpu"))


def test_the_sample_needs_no_files(offline, monkeypatch):
    monkeypatch.delenv("SUPSUP_DATA", raising=False)
    sample = load("mnist-sample")
    assert sample.train_images.shape == (6000, 28, 28)
    assert sample.test_images.shape == (1500, 28, 28)
    assert sample.train_labels.bincount().tolist() == [600] * 10
    assert sample.test_labels.bincount().tolist() == [150] * 10


def test_a_missing_sample_says_so(offline, monkeypatch, tmp_path):
    lost = replace(SOURCES["mnist-sample"], folder=tmp_path)
    monkeypatch.setattr(catalog_module, "SOURCES", {"mnist-sample": lost})
    with pytest.raises(InvalidInput, match="install the package again"):
        load("mnist-sample")


def test_the_full_mnist(mnist_dir, offline):
    mnist = load("mnist", mnist_dir)
    assert mnist.train_images.shape == (60000, 28, 28)
    assert mnist.test_images.shape == (10000, 28, 28)
    # Counts and the first labels as published with the data set.
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    unit = mnist.train_images.double() / 255
    assert float(unit.mean()) == pytest.approx(mnist.mean, abs=5e-5)
    assert float(unit.std()) == pytest.approx(mnist.std, abs=5e-5)
