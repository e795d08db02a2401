import numpy as np
import pytest
from safetensors.numpy import save_file

from maskstore import ArchiveWriteError, InvalidInput, MaskLayout
from maskstore.interchange import load_task, save_masks
from tests.maskstore.helpers import LAYOUT, equal, random_masks


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"mask{suffix}"
    save_masks(path, random_masks(3))
    assert equal(load_task(path, LAYOUT)[0], random_masks(3))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_numpy_reads_the_npz(tmp_path):
    path = tmp_path / "mask.npz"
    save_masks(path, {"file": np.ones(3, bool)})
    with np.load(path) as arrays:
        assert arrays["file"].tolist() == [True, True, True]


def test_a_layer_of_more_than_four_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("zipfile.ZIP64_LIMIT", 20)  # bytes, from which old .zip files end
    test_numpy_reads_the_npz(tmp_path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04" + bytes(40)])
def test_files_that_are_none(tmp_path, suffix, content):
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="not a readable"):
        load_task(path, LAYOUT)


def test_missing_file_other_ending_and_pickles(tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        load_task(tmp_path / "none.npz", LAYOUT)
    with pytest.raises(InvalidInput, match="ends in .npz or .safetensors"):
        load_task(tmp_path / "mask.pt", LAYOUT)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, w=np.array([{"a": 1}], object))
    with pytest.raises(InvalidInput, match="pickle"):
        load_task(pickled, LAYOUT)


def test_a_file_far_larger_than_a_mask_is_not_read(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, w=np.zeros(50_000_000, bool))
    with pytest.raises(InvalidInput, match="at most"):
        load_task(path, LAYOUT)


def test_an_unwritable_place(tmp_path):
    with pytest.raises(ArchiveWriteError):
        save_masks(tmp_path / "no" / "mask.npz", random_masks(0))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_numbers_in_the_place_of_bits_are_named_before_their_size_is(tmp_path, suffix, dtype):
    layout, path = MaskLayout({"w": (1024, 512)}), tmp_path / f"a{suffix}"
    arrays = {"w": np.ones((1024, 512), dtype)}
    np.savez(path, **arrays) if suffix == ".npz" else save_file(arrays, path)
    with pytest.raises(InvalidInput, match="layer 'w': expected dtype bool, got .*array != 0"):
        load_task(path, layout)
