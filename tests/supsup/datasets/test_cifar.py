import tarfile
import urllib.request
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.datasets import SOURCES, Dataset, load
from supsup.datasets import catalog as catalog_module
from supsup.datasets.augment import CropFlip
from supsup.tasks import make_task, task_family
from tests.supsup.datasets.helpers import cifar_like, colours, pack_cifar, write_cifar


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A small stand-in for the release: the unpacked files beside ``release.tar.gz``."""
    folder = tmp_path_factory.mktemp("remote")
    write_cifar(folder)
    pack_cifar(folder, folder / "release.tar.gz")
    return folder


@pytest.fixture(autouse=True)
def known(remote, tmp_path, monkeypatch):
    """The catalogue describes the stand-in, at a file:// address, and the cache is empty."""
    source = cifar_like(remote, remote / "release.tar.gz")
    monkeypatch.setattr(catalog_module, "SOURCES", {**SOURCES, "cifar100": source})
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **o: tmp_path / "cache" / name)
    monkeypatch.delenv("SUPSUP_DATA", raising=False)
    return source


@pytest.fixture
def offline(monkeypatch):
    def refuse(url, timeout):
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def check(loaded):
    assert isinstance(loaded, Dataset)
    for images, labels, per_class, seed in (
        (loaded.train_images, loaded.train_labels, 12, 1),
        (loaded.test_images, loaded.test_labels, 4, 2),
    ):
        expected, numbers = colours(100, per_class, seed)
        np.testing.assert_array_equal(images, expected)
        assert labels.tolist() == numbers.tolist()
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert (loaded.classes, loaded.size) == (100, (32, 32))


@pytest.mark.parametrize("sub", ["", "cifar100", "cifar-100-binary", "cifar100/cifar-100-binary"])
def test_reads_the_unpacked_release(offline, tmp_path, sub):
    write_cifar(tmp_path / "data" / sub)
    check(load("cifar100", tmp_path / "data"))


@pytest.mark.parametrize("sub", ["", "cifar100"])
def test_reads_the_release_as_it_is(offline, remote, tmp_path, sub):
    folder = tmp_path / "data" / sub
    folder.mkdir(parents=True)
    (folder / "cifar-100-binary.tar.gz").write_bytes((remote / "release.tar.gz").read_bytes())
    check(load("cifar100", tmp_path / "data"))
    assert [path.name for path in folder.iterdir()] == ["cifar-100-binary.tar.gz"]


def test_downloads_once(tmp_path, monkeypatch, capsys):
    check(load("cifar100", quiet=True))
    assert capsys.readouterr() == ("", "")
    (cached,) = (tmp_path / "cache" / "supsup-store" / "cifar100").iterdir()
    assert cached.name == "cifar-100-binary.tar.gz"
    monkeypatch.setattr(urllib.request, "urlopen", None)
    check(load("cifar100"))


def test_a_damaged_download_does_not_stay(known, tmp_path, monkeypatch):
    other = tmp_path / "other.tar.gz"
    write_cifar(tmp_path / "other", train=1, test=1)
    pack_cifar(tmp_path / "other", other)
    changed = replace(known, url=other.as_uri())
    monkeypatch.setattr(catalog_module, "SOURCES", {"cifar100": changed})
    with pytest.raises(InvalidInput, match=r"downloaded is damaged.*expected MD5 \w+, found \w+"):
        load("cifar100", quiet=True)
    assert not list((tmp_path / "cache" / "supsup-store" / "cifar100").iterdir())


def test_without_network_one_line_says_what_to_put_where(offline, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InvalidInput) as caught:
        load("cifar100", tmp_path / "data", quiet=True)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "cifar-100-binary.tar.gz",
        "Temporary failure in name resolution",
        f"into {tmp_path / 'data' / 'cifar100'}",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["cifar-100-python", "cifar-100-python.tar.gz"])
def test_the_release_of_pickles_is_refused(tmp_path, name):
    (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(InvalidInput, match=rf"{name}: the release of pickles.*binary release"):
        load("cifar100", tmp_path / "data", quiet=True)
    assert not (tmp_path / "cache").exists()
    # Beside the binary release it does no harm.
    write_cifar(tmp_path / "data")
    check(load("cifar100", tmp_path / "data"))


def test_a_wrong_checksum_names_both(known, tmp_path):
    write_cifar(tmp_path)
    content = bytearray((tmp_path / "test.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "test.bin").write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"test.bin: .*SHA-256 {known.sha256[1]}, found \w"):
        load("cifar100", tmp_path)


@pytest.mark.parametrize(("extra", "found"), [(-1, "found 3688799"), (1, "found more")])
def test_another_length_is_refused(tmp_path, extra, found):
    write_cifar(tmp_path)
    content = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(content[:-1] if extra < 0 else content + b"x")
    with pytest.raises(InvalidInput, match=rf"1200 records of 3074 bytes, 3688800 .*{found}"):
        load("cifar100", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "no member"])
def test_a_damaged_archive_is_refused(known, remote, tmp_path, monkeypatch, damage):
    archive = tmp_path / "cifar-100-binary.tar.gz"
    whole = (remote / "release.tar.gz").read_bytes()
    if damage == "no member":
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(remote / "train.bin", "cifar-100-binary/train.bin")
    else:
        archive.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"<html>")
    # With the checksum of the damage itself, what comes after it has to notice.
    matching = replace(known, md5=cifar_like(remote, archive).md5)
    monkeypatch.setattr(catalog_module, "SOURCES", {"cifar100": matching})
    with pytest.raises(InvalidInput, match=r"cifar-100-binary.tar.gz: .*fetch it again"):
        load("cifar100", tmp_path)


def test_tasks(tmp_path, known):
    write_cifar(tmp_path)
    data = load("cifar100", tmp_path)
    recipe = task_family("split-cifar100", seed=4)[7]
    task = make_task(recipe, data)
    classes = recipe.task_rule.classes(7, 4, 100, recipe.options)
    assert (task.name, task.classes, task.train_size, task.test_size) == (
        "split-cifar100/7", 5, 60, 20,
    )  # fmt: skip
    x, y = next(task.test_batches(20))
    where = [at for at, label in enumerate(data.test_labels.tolist()) if label in classes]
    assert [classes[label] for label in y.tolist()] == data.test_labels[where].tolist()
    mean, std = (np.array(levels)[:, None, None] for levels in (known.mean, known.std))
    expected = (data.test_images[where].numpy() / 255 - mean) / std
    np.testing.assert_allclose(x, expected, atol=1e-5)
    # Training sees other views in each batch, and the same ones in the same batch.
    batch = torch.arange(60)
    first, labels = task.train_batch(batch)
    assert torch.equal(first, make_task(recipe, load("cifar100", tmp_path)).train_batch(batch)[0])
    assert labels.tolist() == task.train_y.tolist()
    assert not torch.equal(first, task.train_batch(batch.flip(0))[0].flip(0))
    other = make_task(task_family("split-cifar100", seed=5)[7], data)
    assert other.key != task.key != make_task(task_family("split-cifar100", seed=4)[6], data).key


def test_rotated_colours(tmp_path):
    write_cifar(tmp_path, train=1, test=1)
    data = replace(_dataset(), name="cifar100")
    still, turned = (make_task(task_family("rotated-cifar100")[index], data) for index in (0, 9))
    x, _ = next(still.test_batches(5))
    y, _ = next(turned.test_batches(5))
    assert x.shape == y.shape == (5, 3, 32, 32)
    np.testing.assert_allclose(y, torch.rot90(x, 1, (2, 3)), atol=1e-5)


def _dataset() -> Dataset:
    images, labels = (torch.from_numpy(array.copy()) for array in colours(100, 1, 0))
    return Dataset(
        name="mine",
        classes=100,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.2, 0.25),
        augment=CropFlip(),
    )


def test_a_colour_dataset_refuses():
    whole = _dataset()
    for changes, message in (
        ({"mean": (0.1, 0.2)}, "pixel mean for each of 3 channels"),
        ({"std": (0.1, 0.2, 0.0)}, "std above 0"),
        ({"train_images": whole.train_images[:, 0], "test_images": whole.test_images[:, 0],
          "mean": 0.1, "std": 0.2}, "only images with channels are augmented"),
        ({"train_images": whole.train_images[:, 0], "test_images": whole.test_images[:, 0],
          "augment": None}, "pixel mean for each of 1 channels"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=message):
            replace(whole, **changes)
    one = replace(whole, mean=0.5, std=0.25)
    x, _ = next(make_task(task_family("split-cifar100")[0], replace(one, name="cifar100"))
                .test_batches(5))  # fmt: skip
    assert float(x.abs().max()) <= 2
