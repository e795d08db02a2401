import numpy as np
import pytest

from hopfield import RULES, load_memory, masks_of, pattern_of, save_memory
from maskstore import ArchiveError, ArchiveWriteError, NotAnArchive
from tests.maskstore.helpers import LAYOUT, equal, random_masks

RECIPE = {"layout": LAYOUT.to_json(), "backbone": {"net": "x"}}


def memory_of(rule):
    memory = RULES[rule](LAYOUT.bits)
    for seed in range(4):
        memory.encode(pattern_of(random_masks(seed), LAYOUT))
    return memory


def test_patterns_are_masks():
    masks = random_masks(1)
    z = pattern_of(masks, LAYOUT)
    assert set(z.tolist()) == {-1, 1}
    assert z[0] == 2 * int(masks["fc1.weight"][0, 0]) - 1
    assert equal(masks_of(z, LAYOUT), masks)


@pytest.mark.parametrize("rule", RULES)
def test_round_trip(tmp_path, rule):
    path = tmp_path / "memory.h5"
    memory = memory_of(rule)
    assert save_memory(path, memory, RECIPE) == path.stat().st_size
    loaded, recipe = load_memory(path)
    assert recipe == RECIPE
    assert (loaded.rule, loaded.size, loaded.count) == (rule, LAYOUT.bits, 4)
    assert loaded.nbytes == memory.nbytes
    z = np.random.default_rng(0).normal(size=LAYOUT.bits)
    np.testing.assert_array_equal(loaded.field(z), memory.field(z))
    loaded.encode(pattern_of(random_masks(9), LAYOUT))
    memory.encode(pattern_of(random_masks(9), LAYOUT))
    np.testing.assert_array_equal(loaded.field(z), memory.field(z))
    assert [each.name for each in tmp_path.iterdir()] == ["memory.h5"]


def test_a_truncated_or_altered_file_is_an_error(tmp_path):
    path = tmp_path / "memory.h5"
    save_memory(path, memory_of("storkey"), RECIPE)
    data = path.read_bytes()
    state = data.index(b"\x28\xb5\x2f\xfd")  # the zstd frame
    for bad in (data[: len(data) // 2], data[:-1], b"", b"junk", _flip(data, state + 50)):
        path.write_bytes(bad)
        with pytest.raises(ArchiveError):
            load_memory(path)
    with pytest.raises(ArchiveError):
        load_memory(tmp_path / "none.h5")


def test_an_archive_is_no_memory(tmp_path):
    from maskstore import MaskArchive

    MaskArchive.create(tmp_path / "a.h5", LAYOUT).close()
    with pytest.raises(NotAnArchive):
        load_memory(tmp_path / "a.h5")


def test_an_unwritable_place(tmp_path):
    with pytest.raises(ArchiveWriteError):
        save_memory(tmp_path / "no" / "memory.h5", memory_of("hebb"), {})


def _flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
