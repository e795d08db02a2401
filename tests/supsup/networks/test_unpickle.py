"""Tensors and files that nobody would write by mistake: one line each, and no memory."""

import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch

from maskstore import InvalidInput
from supsup.checkpoints import import_checkpoint
from supsup.networks.unpickle import load_checkpoint
from tests.supsup.checkpoints.helpers import reference_checkpoint


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop them one day
        return torch.quantize_per_tensor(torch.randn(4, 3), 0.1, 0, torch.qint8)


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(1, 3)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(1).expand(40_000, 100_000), "4000000000 numbers by its shape .* 1 in"),
        (lambda: torch.randn(4, 3, device="meta"), "found one without values"),
        (lambda: torch.randn(4, 3).to_sparse(), "found one torch.sparse_coo"),
        (lambda: torch.randn(4, 3).to_sparse_csr(), "found one torch.sparse_csr"),
        (quantised, "found one quantised"),
        (nested, "found one nested"),
        (lambda: torch.ones(4, 3, dtype=torch.int64), "expected floating-point numbers"),
        (lambda: torch.ones(4, 3, dtype=torch.complex64), "expected floating-point numbers"),
        (lambda: torch.ones(4, 3, dtype=torch.bool), "expected floating-point numbers"),
        (lambda: torch.full((4, 3), torch.inf), "not finite"),
        (lambda: torch.ones(0, 3), "positive whole sizes"),
        (lambda: torch.tensor(1.0), "needs a shape"),
    ],
)
def test_scores_that_are_none(tmp_path, make, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sparse and nested tensors, that they are young
        torch.save({"fc.scores.0": make()}, tmp_path / "a.pt")
        with pytest.raises(InvalidInput, match=message) as caught:
            import_checkpoint(tmp_path / "a.pt", tmp_path / "a.h5", kind="threshold")
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_scores_of_other_widths(tmp_path, dtype):
    scores = torch.linspace(-1, 1, 12).view(4, 3).to(dtype)
    if dtype.itemsize > 1:  # torch cannot load a parameter in float8 at all
        scores.requires_grad_(True)
    torch.save({"fc.scores.0": scores}, tmp_path / "a.pt")
    report = import_checkpoint(tmp_path / "a.pt", tmp_path / "a.h5", kind="threshold")
    assert report.bits_per_mask == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checkpoint"),
        (b".", "not a checkpoint"),
        (b"\x80\x02.", "not a checkpoint"),
        (pickle.dumps({"a": 1}), "not a checkpoint"),
        (b"PK\x03\x04" + bytes(60), "not a checkpoint"),
        (b"\x80\x02]q\x00(" + b"(" * 3000, "not a checkpoint"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_checkpoint(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_a_state_with_keys_that_are_no_text(tmp_path):
    torch.save({"state_dict": {5: torch.ones(2, 2)}}, tmp_path / "a.pt")
    with pytest.raises(InvalidInput, match="names of tensors as text, found 5"):
        import_checkpoint(tmp_path / "a.pt", tmp_path / "a.h5", kind="threshold")


def test_a_file_that_unpacks_to_more_than_it_has(tmp_path):
    torch.save({"fc.scores.0": torch.zeros(2_000_000)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as stored,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for each in stored.namelist():
            packed.writestr(each, stored.read(each))
    with pytest.raises(InvalidInput, match="bytes, at most .* are read"):
        load_checkpoint(tmp_path / "bomb.pt")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_paths_and_numpy_scalars_are_read(tmp_path, zipped):
    reference_checkpoint(
        tmp_path / "a.pt", sparsity=np.float64(0.25), big=np.float64(2).astype(">f8")
    )
    if not zipped:
        loaded = torch.load(tmp_path / "a.pt", weights_only=False)
        torch.save(loaded, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["best_acc1"] == [0.5, 0.25, 3]
    assert loaded["args"].run_base_dir == "runs/mnist~try=0"
    assert (loaded["args"].sparsity, loaded["args"].big) == (0.25, 2.0)
    assert loaded["state_dict"]["linear.0.scores.0"].shape == (30, 20, 1, 1)


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "torch.hub.load", "numpy.fromfile", "pathlib.Path.unlink"],
)
def test_nothing_else_is_called(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    data = b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n."
    torch.save({"a": 1}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as harmless,
        zipfile.ZipFile(tmp_path / "evil.pt", "w", zipfile.ZIP_STORED) as evil,
    ):
        for each in harmless.namelist():
            evil.writestr(each, data if each.endswith("data.pkl") else harmless.read(each))
    with pytest.raises(InvalidInput, match="nothing of a checkpoint is executed here"):
        load_checkpoint(tmp_path / "evil.pt")
