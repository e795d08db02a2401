import hashlib
import json
import random
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import zstandard

from hopfield import load_memory, masks_of, new_memory, pattern_of, save_memory
from hopfield.file import assemble, parts_of
from maskstore import ArchiveError, ArchiveWriteError, InvalidInput, MaskArchive, NotAnArchive
from maskstore.errors import ArchiveNotFound, CorruptArchive, UnsupportedVersion
from tests.hopfield.helpers import EVERY, memory_of, patterns
from tests.maskstore.fuzz import DAMAGE, fuzzed
from tests.maskstore.helpers import LAYOUT, equal, random_masks

GOLDEN = Path(__file__).parents[1] / "golden"
RECIPE = {"layout": LAYOUT.to_json(), "backbone": {"net": "x"}}


def stored_in(rule, form):
    masks = [random_masks(seed) for seed in range(4)]
    return memory_of(rule, form, np.stack([pattern_of(each, LAYOUT) for each in masks]))


def saved(path, rule="storkey", form="dense"):
    save_memory(path, stored_in(rule, form), RECIPE)
    return path.read_bytes()


def forged(data, **changes):
    """The file with other fields in its header, and every checksum good."""
    text, state = parts_of(data, "m")
    return b"".join(assemble(json.dumps(json.loads(text) | changes).encode(), state))


def test_patterns_are_masks():
    masks = random_masks(1)
    z = pattern_of(masks, LAYOUT)
    assert set(z.tolist()) == {-1, 1}
    assert z[0] == 2 * int(masks["fc1.weight"][0, 0]) - 1
    assert equal(masks_of(z, LAYOUT), masks)


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_round_trip(tmp_path, rule, form):
    path = tmp_path / "memory.h5"
    memory = stored_in(rule, form)
    assert save_memory(path, memory, RECIPE) == path.stat().st_size
    loaded, recipe = load_memory(path)
    assert recipe == RECIPE
    assert (loaded.rule, loaded.form, loaded.size, loaded.count) == (rule, form, LAYOUT.bits, 4)
    assert type(loaded) is type(memory)
    assert loaded.nbytes == memory.nbytes
    z = np.random.default_rng(0).normal(size=LAYOUT.bits)
    np.testing.assert_array_equal(loaded.field(z), memory.field(z))
    if form != "quantised":
        loaded.encode(pattern_of(random_masks(9), LAYOUT))
        memory.encode(pattern_of(random_masks(9), LAYOUT))
        np.testing.assert_array_equal(loaded.field(z), memory.field(z))
    assert [each.name for each in tmp_path.iterdir()] == ["memory.h5"]


def test_quantised_blocks_come_back(tmp_path):
    memory = stored_in("covariance", "blocks").quantised(4)
    save_memory(tmp_path / "m.h5", memory, {})
    loaded, _ = load_memory(tmp_path / "m.h5")
    assert [block.form for block in loaded.blocks] == ["quantised", "quantised"]
    z = np.random.default_rng(0).normal(size=LAYOUT.bits)
    np.testing.assert_array_equal(loaded.field(z), memory.field(z))
    with pytest.raises(InvalidInput, match="no more patterns"):
        loaded.encode(pattern_of(random_masks(9), LAYOUT))


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_an_empty_memory_and_one_of_a_single_value(tmp_path, rule, form):
    for z in (np.zeros((0, 60), np.int8), np.ones((3, 60), np.int8)):
        memory = memory_of(rule, form, z)
        save_memory(tmp_path / "m.h5", memory, {})
        loaded, _ = load_memory(tmp_path / "m.h5")
        assert loaded.count == len(z)
        x = np.random.default_rng(0).normal(size=60)
        np.testing.assert_array_equal(loaded.field(x), memory.field(x))


def test_counts_take_few_bits(tmp_path):
    """Hebb's whole numbers after compression: under the entropy of independent pairs."""
    size = save_memory(tmp_path / "m.h5", memory_of("hebb", "dense", patterns(0, 5, 500)), {})
    binomial = np.array([1, 5, 10, 10, 5, 1]) / 32
    bits = -(binomial * np.log2(binomial)).sum()
    assert size - 1024 < bits * 500 * 499 / 2 / 8


def test_any_hdf5_tool_reads_it(tmp_path):
    saved(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file.attrs["format"] == b"supsup-hopfield"
        assert file.attrs["version"] == b"1"
        header = json.loads(file["header"][...].tobytes())
        raw = zstandard.ZstdDecompressor().decompress(file["state"][...].tobytes())
    assert (header["rule"], header["size"], header["count"]) == ("storkey", LAYOUT.bits, 4)
    planes = np.frombuffer(raw, np.uint8).reshape(4, -1)  # docs/hopfield.md: by significance
    upper = np.ascontiguousarray(planes.T).view("<f4")[:, 0]
    matrix = stored_in("storkey", "dense").matrix
    np.testing.assert_array_equal(upper, matrix[np.triu_indices(LAYOUT.bits, 1)])


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_golden_files_stay_readable(tmp_path, rule, form):
    """Written by tests/golden/make_hopfield.py; only ever add to them."""
    golden = GOLDEN / "hopfield" / f"{rule}-{form}.h5"
    loaded, recipe = load_memory(golden)
    assert recipe == RECIPE
    memory = stored_in(rule, form)
    assert {k: v.tolist() for k, v in loaded.state().items()} == {
        k: v.tolist() for k, v in memory.state().items()
    }
    # The same bytes, but for what another release of Zstandard makes of the state.
    text, _ = parts_of(golden.read_bytes(), "golden")
    save_memory(tmp_path / "m.h5", memory, RECIPE)
    assert parts_of((tmp_path / "m.h5").read_bytes(), "m")[0] == text


def test_every_altered_byte_is_an_error(tmp_path):
    path = tmp_path / "m.h5"
    data = saved(path, "modern", "packed")
    for at in range(len(data)):
        with pytest.raises(ArchiveError):
            parts_of(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], "m")
    for length in range(len(data)):
        with pytest.raises(ArchiveError):
            parts_of(data[:length], "m")
    with pytest.raises(ArchiveNotFound):
        load_memory(tmp_path / "none.h5")


def test_fuzzed_files_end_in_an_error(tmp_path):
    path = tmp_path / "m.h5"
    rng = random.Random(0)
    for form in ("dense", "blocks"):
        data = saved(path, "projection", form)
        for kind in DAMAGE:
            for _ in range(20):
                bad = fuzzed(data, kind, rng)
                if bad == data:
                    continue
                path.write_bytes(bad)
                with pytest.raises(ArchiveError):
                    load_memory(path)


@pytest.mark.parametrize(("rule", "form"), EVERY)
def test_forged_headers_allocate_little(tmp_path, rule, form):
    """Every checksum holds, and what the header says does not."""
    path = tmp_path / "m.h5"
    data = saved(path, rule, form)
    arrays = json.loads(parts_of(data, "m")[0])["arrays"]
    big = [[name, kind, [2**31] * len(shape)] for name, kind, shape in arrays]
    for changes in (
        {"size": 30_000},
        {"size": 2**62},
        {"size": -1},
        {"size": "9"},
        {"size": 1.5},
        *([{"count": 3}] if form == "packed" else []),
        {"count": 10**30},
        {"count": True},
        {"arrays": big},
        {"arrays": []},
        {"arrays": [[1]]},
        {"arrays": None},
        {"arrays": [[i, kind, shape] for i, (_, kind, shape) in enumerate(arrays)]},
        {"arrays": [[name, "|O", shape] for name, _, shape in arrays]},
        {"arrays": [[name, kind, [-1]] for name, kind, _ in arrays]},
        {"compression": "none"},
        {"compression": "lzma"},
        {"recipe": 3},
        {"form": "blocks" if form == "dense" else "dense"},
        {"form": ["dense"]},
    ):
        path.write_bytes(forged(data, **changes))
        tracemalloc.start()
        with pytest.raises(ArchiveError):
            load_memory(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20, changes
        tracemalloc.stop()


def test_forged_states(tmp_path):
    path = tmp_path / "m.h5"
    text, _ = parts_of(saved(path, "hebb", "dense"), "m")
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 28))
    for state in (bomb, b"junk", b"", bomb[:8]):
        assert len(state) < 1 << 16
        path.write_bytes(b"".join(assemble(text, state)))
        with pytest.raises(CorruptArchive):
            load_memory(path)
    header = json.loads(parts_of(saved(path, "storkey", "dense"), "m")[0])
    raw = b"\xff" * (2 * LAYOUT.bits * (LAYOUT.bits - 1))  # NaN
    header["compression"] = "none"
    path.write_bytes(b"".join(assemble(json.dumps(header).encode(), raw)))
    with pytest.raises(CorruptArchive, match="finite"):
        load_memory(path)
    header = json.loads(parts_of(saved(path, "modern", "packed"), "m")[0])
    packed = b"\xff" * (4 * 10) + np.float32(0.1).tobytes()
    header["compression"] = "none"
    path.write_bytes(b"".join(assemble(json.dumps(header).encode(), packed)))
    with pytest.raises(CorruptArchive, match="beyond the last unit"):
        load_memory(path)


def test_a_large_uniform_memory_is_kept_uncompressed(tmp_path, monkeypatch):
    """Compressed it would be a file that makes more than readers take."""
    monkeypatch.setattr("hopfield.file._PLAIN_BYTES", 1 << 16)
    memory = memory_of("hebb", "dense", np.ones((1, 300), np.int8))
    assert save_memory(tmp_path / "m.h5", memory, {}) > 300 * 299 / 2
    loaded, _ = load_memory(tmp_path / "m.h5")
    np.testing.assert_array_equal(loaded.weights, memory.weights)
    text, state = parts_of((tmp_path / "m.h5").read_bytes(), "m")
    small = zstandard.ZstdCompressor().compress(state)
    packed = json.dumps(json.loads(text) | {"compression": "zstd"}).encode()
    (tmp_path / "m.h5").write_bytes(b"".join(assemble(packed, small)))
    with pytest.raises(CorruptArchive):
        load_memory(tmp_path / "m.h5")


def test_other_files(tmp_path):
    path = tmp_path / "m.h5"
    data = saved(path)
    path.write_bytes(data.replace(b"SUPHOPFD\x01", b"SUPHOPFD\x02"))
    with pytest.raises(UnsupportedVersion, match="version 2, this release knows 1"):
        load_memory(path)
    path.write_bytes(forged(data, rule="oja"))
    with pytest.raises(UnsupportedVersion, match="oja"):
        load_memory(path)
    MaskArchive.create(tmp_path / "a.h5", LAYOUT).close()
    with pytest.raises(NotAnArchive):
        load_memory(tmp_path / "a.h5")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ArchiveWriteError):
        save_memory(tmp_path / "no" / "memory.h5", new_memory("hebb", 9), {})
    with pytest.raises(InvalidInput, match="JSON"):
        save_memory(tmp_path / "m.h5", new_memory("hebb", 9), {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_the_digest_is_of_header_and_state(tmp_path):
    data = saved(tmp_path / "m.h5")
    text, state = parts_of(data, "m")
    assert data[536:568] == hashlib.sha256(text + state).digest()
