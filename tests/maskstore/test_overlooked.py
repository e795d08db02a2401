"""What is asked for once and then relied on: both looks of verify, full batches, a single task,
values that other programs write, and descriptors given back."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maskstore import (
    BFloat16,
    CorruptArchive,
    InvalidInput,
    MaskArchive,
    MaskLayout,
    NotAnArchive,
    maintenance,
    writer,
)
from maskstore import _verify as verify_module
from maskstore._verify import verify
from maskstore.codecs import FIRST_PRIVATE_ID
from maskstore.codecs.entropy.levels import NUMERATORS
from maskstore.codecs.gaps import GapsCodec
from maskstore.interchange import PREFIX, load_task, save_masks
from maskstore.maintenance import compact, merge, repair
from maskstore.queries import diff_tasks
from maskstore.seeded.weights import draw_weights
from maskstore.selection import select_from
from maskstore.stats import archive_stats
from maskstore.storage.format import ROW_BYTES, SLOT_OFFSETS, Extent
from maskstore.storage.index import DAMAGED_SLOT, Damage
from maskstore.tensors import coding
from tests.maskstore.codecs.helpers import prior_of
from tests.maskstore.helpers import LAYOUT, equal, random_masks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        for seed in range(40):
            archive.add(f"t/{seed}", random_masks(seed))
    return tmp_path / "a.h5"


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


# --- verify


@pytest.mark.parametrize("opened_first", [False, True])
def test_a_damaged_slot_is_told_once(path, opened_first):
    with MaskArchive.open(path) as archive:
        older = SLOT_OFFSETS[(archive.store.slot.generation + 1) % 2]
        if opened_first:
            flip(path, older + 20)
            assert verify(archive).count(DAMAGED_SLOT) == 1
    if not opened_first:
        flip(path, older + 20)
        with MaskArchive.open(path) as archive:
            assert verify(archive).count(DAMAGED_SLOT) == 1


def broken(*_: object, **__: object) -> None:
    raise CorruptArchive("does not decode")


@pytest.mark.parametrize("what", ["get_packed", "tensors", "shared_tensors"])
def test_only_deep_verification_decodes_and_it_decodes_everything(path, what, monkeypatch):
    with MaskArchive.open(path, "a") as archive:
        archive.set_shared_tensors("kept", {"x": np.zeros(3, np.float32)})
    with MaskArchive.open(path) as archive:
        monkeypatch.setattr(MaskArchive, what, broken)
        assert verify(archive) == []
        found = [each.task for each in verify(archive, deep=True)]
    assert found == ([None] if what == "shared_tensors" else [f"t/{i}" for i in range(40)])


@pytest.mark.parametrize("what", ["get_packed", "tensors"])
def test_repair_leaves_out_what_does_not_decode_and_reports_every_task(path, what, monkeypatch):
    read: Callable[..., object] = getattr(MaskArchive, what)
    monkeypatch.setattr(
        MaskArchive, what, lambda self, name: (broken if name == "t/3" else read)(self, name)
    )
    reported: list[str] = []
    target = path.with_name("repaired.h5")
    with MaskArchive.open(path) as source:
        lost = repair(source, target, on_task=reported.append)
    assert [each.task for each in lost] == ["t/3"]
    assert set(reported) >= {f"t/{i}" for i in range(40)} - {"t/3"}


def test_what_other_tools_see_of_every_extent_is_verified(path):
    with MaskArchive.open(path) as archive:
        extents = archive.store.extents
        assert len(extents) >= 2
        first = extents[0].group
    flip(path, first + 8)
    with MaskArchive.open(path) as archive:
        assert any("extent 0" in each.cause for each in verify(archive))


def test_deep_verification_asks_libhdf5(path, monkeypatch):
    said = Damage(None, "libhdf5 reads something else")
    monkeypatch.setattr(verify_module, "_verify_with_libhdf5", lambda store: [said])
    with MaskArchive.open(path) as archive:
        assert verify(archive) == []
        assert verify(archive, deep=True) == [said]


def test_rows_must_lie_in_the_file():
    def at(offset: int) -> Extent:
        names = ("text_offset", "heap_offset", "text_capacity", "rows", "text_bytes", "heap_bytes")
        none = dict.fromkeys((*names, "group"), 0)
        return Extent(index_offset=offset, index_capacity=2, **none)

    for offset in (0, 1000):
        assert at(offset).is_inside(0, offset + 2 * ROW_BYTES)
        assert not at(offset).is_inside(0, offset + 2 * ROW_BYTES - 1)


# --- transactions, batches


def test_a_block_gives_the_archive_also_inside_another(path):
    with MaskArchive.open(path, "a") as archive, archive.transaction() as outer:
        assert outer is archive
        with archive.transaction() as inner:
            assert inner is archive


def test_a_block_that_raises_inside_another_undoes_itself_only(path):
    with MaskArchive.open(path, "a") as archive:
        with archive.transaction():
            archive.add("outer", random_masks(1))
            with pytest.raises(ZeroDivisionError), archive.transaction():
                archive.add("inner", random_masks(2))
                raise ZeroDivisionError
            archive.add("after", random_masks(3))
        assert archive.names()[40:] == ["outer", "after"]
    with MaskArchive.open(path) as archive:
        assert archive.names()[40:] == ["outer", "after"]
        assert equal(archive.get("after"), random_masks(3))


def test_tasks_of_a_later_session_take_nobodys_place(path):
    with MaskArchive.open(path, "a") as archive, archive.transaction():
        for seed in range(40, 45):
            archive.add(f"t/{seed}", random_masks(seed))
        assert archive.names() == [f"t/{i}" for i in range(45)]
    with MaskArchive.open(path, "a") as archive:
        archive.add_many([("u/0", random_masks(90), {}), ("u/1", random_masks(91), {})])
        assert archive.names() == [f"t/{i}" for i in range(45)] + ["u/0", "u/1"]
        assert all(equal(archive.get(f"t/{i}"), random_masks(i)) for i in range(45))


@pytest.mark.parametrize("limit", [0, 300, 1 << 25])
def test_what_is_written_in_batches_is_whole(path, limit, monkeypatch):
    for module in (maintenance, writer):
        monkeypatch.setattr(module, "_BATCH_BYTES", limit)
    expected = {f"t/{i}": i for i in range(40)} | {f"u/{i}": 50 + i for i in range(9)}
    with MaskArchive.open(path, "a") as archive:
        archive.add_many([(f"u/{i}", random_masks(50 + i), {}) for i in range(9)])
        compact(archive)
    merged = path.with_name("merged.h5")
    with MaskArchive.open(path) as source:
        merge([source], merged)
    for each in (path, merged):
        with MaskArchive.open(each) as archive:
            assert archive.names() == list(expected)
            assert all(equal(archive.get(n), random_masks(s)) for n, s in expected.items())


# --- queries


@pytest.mark.parametrize("ask", [verify, archive_stats])
def test_a_path_is_no_archive(ask):
    with pytest.raises(InvalidInput, match="expected an open archive"):
        ask("a.h5")


def test_names_are_a_list(path):
    with MaskArchive.open(path) as archive, pytest.raises(InvalidInput, match="got the text 't/1'"):
        archive.packed("t/1")


def test_layers_without_a_bit_are_alike(tmp_path):
    with MaskArchive.create(tmp_path / "b.h5", {"w": (8,), "v": (8,)}) as archive:
        for name in "ab":
            archive.add(name, {"w": np.zeros(8, bool), "v": np.ones(8, bool)})
        assert [each.jaccard for each in diff_tasks(archive, "a", "b").layers] == [1.0, 1.0]


def test_one_of_one_task_is_the_whole_file(tmp_path):
    with MaskArchive.create(tmp_path / "b.h5", LAYOUT) as archive:
        archive.add("only", random_masks(0))
        assert select_from(archive, "only").file_bytes == archive.file_bytes


def test_weights_of_a_file_are_counted_apart(tmp_path):
    backbone = {"net": "n", "weights": {"bytes": 1000}}
    with MaskArchive.create(tmp_path / "b.h5", LAYOUT, backbone=backbone) as archive:
        archive.add("only", random_masks(0))
        stats = archive_stats(archive)
        assert stats.weights_bytes == 1000
        assert stats.bytes_per_task == archive.file_bytes + 1000
        assert stats.ratio_to_dense == pytest.approx(
            stats.dense_bytes / (archive.file_bytes + 1000)
        )


# --- what others read


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_values_of_every_kind_and_size_come_back_from_a_file(tmp_path, suffix):
    rng = np.random.default_rng(0)
    tensors = {
        "big": rng.standard_normal(400_000).astype(np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    mask = random_masks(0)
    save_masks(tmp_path / f"t{suffix}", mask, tensors)
    masks, found = load_task(tmp_path / f"t{suffix}", LAYOUT)
    assert equal(masks, mask)
    assert np.array_equal(found["big"], tensors["big"])
    assert found["none"].shape == (0, 3)


def test_bfloat16_of_a_safetensors_file(tmp_path):
    values = np.array([1.0, -2.5, 0.0, 3.0], np.float32)
    content = {
        "w": torch.ones(8, dtype=torch.bool, device="cpu"),
        f"{PREFIX}b": torch.from_numpy(values).bfloat16(),
    }
    save_file(content, tmp_path / "t.safetensors")
    _, found = load_task(tmp_path / "t.safetensors", MaskLayout({"w": (8,)}))
    assert isinstance(found["b"], BFloat16)
    assert np.array_equal(found["b"].values, values)


def test_numbers_that_a_file_promises():
    assert FIRST_PRIVATE_ID == 192


@pytest.mark.parametrize(("size", "every"), [(1 << 12, 4), (1 << 12, 300), (3 << 24, 1 << 24)])
def test_what_the_coder_of_gaps_writes_it_reads(size, every):
    bits = np.zeros(size, np.uint8)
    bits[every - 1 :: every] = True
    prior = prior_of(MaskLayout({"w": (size,)}), None)
    packed = prior.layout.pack_flat(bits)
    stored = GapsCodec().encode(packed, prior)
    if stored is not None:
        assert np.array_equal(GapsCodec().decode(stored, prior), packed)


def test_the_probability_levels_are_those_of_their_formula():
    levels = [round(2**20 / (1 + math.exp(-0.175 * (at - 64)))) for at in range(1, 128)]
    assert (0, *levels) == NUMERATORS


def test_bytes_behind_the_last_plane_are_damage():
    number, stored = coding.encode(np.zeros(4000, np.uint8), 4)
    assert not coding.decode(number, stored, 4000, 4).any()
    with pytest.raises(CorruptArchive, match="1 bytes follow"):
        coding.decode(number, stored + b"x", 4000, 4)


def test_weights_of_every_init():
    options = {"seed": 3, "fan_density": 0.25}
    assert draw_weights("bn.weight", (5,), init="kaiming-normal", **options).tolist() == [1.0] * 5
    assert draw_weights("bn.bias", (5,), init="kaiming-normal", **options).tolist() == [0.0] * 5
    shape = (40, 50)
    for scaled, plain in (
        ("scaled-signed-constant", "signed-constant"),
        ("scaled-kaiming", "kaiming-normal"),
    ):
        one, other = (draw_weights("w", shape, init=init, **options) for init in (scaled, plain))
        assert np.allclose(one, 2 * other, rtol=1e-6)
        assert np.mean(other.astype(float) ** 2) == pytest.approx(2 / 50, rel=0.1)


# --- descriptors


def test_no_descriptor_is_left(path, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(b"no archive" * 200)
    worse = tmp_path / "worse.h5"
    worse.write_bytes(path.read_bytes()[:9000])
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(path.read_bytes())
    with MaskArchive.open(path) as archive:
        at = archive.store.extents[1].index_offset
    flip(damaged, at + 68 + 40)
    before = sorted(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else []
    for mode in "ra":
        MaskArchive.open(path, mode).close()
    with pytest.raises(CorruptArchive, match="nothing is written"):
        MaskArchive.open(damaged, "a")
    for each, error in ((bad, NotAnArchive), (worse, CorruptArchive)):
        for opened in (MaskArchive.open, MaskArchive.open_to_salvage):
            with pytest.raises(error):
                opened(each)
    MaskArchive.create(tmp_path / "new.h5", LAYOUT).close()
    after = sorted(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else []
    assert after == before
