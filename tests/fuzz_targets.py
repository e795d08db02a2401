"""The readers of foreign bytes, each as a function that a fuzzer feeds, and how it alters a file.

A reader may refuse with an error of this project, and with nothing else. An alteration makes the
checksums good again, so that what is behind them is reached, too. ``benchmarks/coverage_fuzz.py``
runs them.
"""

import gzip
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import TypeCheckError

from hopfield import load_memory, new_memory, save_memory
from hopfield.file import assemble, parts_of
from maskstore import ArchiveError, MaskArchive, MaskLayout, SupsupError
from maskstore._verify import verify
from maskstore.interchange import layout_of, load_task
from maskstore.stats import archive_stats
from maskstore.storage.commits import parse_header
from maskstore.storage.format import (
    HEADER_OFFSET,
    ROW_BYTES,
    ROW_CHECKED_BYTES,
    SECTOR,
    SLOT_OFFSETS,
    Extent,
    Slot,
)
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice

Mutate = Callable[[bytes], bytes]
GOLDEN = Path(__file__).parent / "golden"
CORPUS = Path(__file__).parent / "fuzz_corpus"
"""A folder per target of inputs that fuzzing found, gzipped."""
LAYOUT = MaskLayout({"fc1.weight": (12, 10), "fc2.weight": (5,)})
_SLOT_CRC = SECTOR - 4


def at_path(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], str]:
    """A reader of files as one of bytes: says whether it took them."""

    def take(content: bytes) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"fuzzed{suffix}"
            path.write_bytes(content)
            try:
                read(path)
            except SupsupError:
                return "refused"
        return "read"

    return take


# --- archives


def read_archive(content: bytes) -> str:
    """Open, list, verify and decode."""
    try:
        archive = MaskArchive(Store(MemoryDevice(content), "fuzzed"), Path("fuzzed"))
    except ArchiveError:
        return "refused"
    outcome = "damaged" if verify(archive) else "read"
    reads: list[Callable[[], object]] = [lambda: list(archive), lambda: archive_stats(archive)]
    reads += [lambda name=name: archive.get(name) for name in archive.names()]
    reads += [lambda name=name: archive.tensors(name) for name in archive.names()]
    reads += [lambda name=name: archive.shared_tensors(name) for name in archive.shared_entries]
    for read in reads:
        try:
            read()
        except ArchiveError:
            outcome = "damaged"
    return outcome


def sealed_archive(content: bytes) -> bytes:
    """The same bytes with every checksum made good that there is a place for."""
    data = bytearray(content)
    for at in SLOT_OFFSETS:
        if data[at : at + 8] != b"SUPSTORE" or len(data) < at + SECTOR:
            continue
        body = bytes(data[at : at + _SLOT_CRC])
        slot = Slot.decode(body + struct.pack("<I", zlib.crc32(body)))
        if slot is None:
            continue
        table = slot.table_offset, slot.table_extents * 56
        if sum(table) <= len(data) and slot.table_extents < 100:
            for number in range(slot.table_extents):
                entry = bytes(data[table[0] + 56 * number :][:56])
                extent = Extent.decode(entry)
                last = number == slot.table_extents - 1
                _seal_rows(data, slot.last_extent(extent) if last else extent)
        header = bytes(data[HEADER_OFFSET : HEADER_OFFSET + slot.header_bytes])
        struct.pack_into("<I", data, at + 28, zlib.crc32(header))
        struct.pack_into("<I", data, at + 44, zlib.crc32(data[table[0] : sum(table)]))
        struct.pack_into("<I", data, at + _SLOT_CRC, zlib.crc32(data[at : at + _SLOT_CRC]))
    return bytes(data)


def _seal_rows(data: bytearray, extent: Extent) -> None:
    for number in range(min(extent.rows, 100)):
        start = extent.index_offset + number * ROW_BYTES
        if start + ROW_BYTES > len(data):
            return
        offset, length, text, metadata, name = struct.unpack_from("<QIIIH", data, start)
        payload = data[extent.heap_offset + offset :][:length]
        struct.pack_into("<I", data, start + 28, zlib.crc32(payload))
        about = data[extent.text_offset + text :][: metadata + name]
        crc32 = zlib.crc32(about, zlib.crc32(data[start : start + ROW_CHECKED_BYTES]))
        struct.pack_into("<I", data, start + ROW_CHECKED_BYTES, crc32)


def alter_archive(content: bytes, mutate: Mutate, seed: int) -> bytes:
    """A stretch of bytes altered in its place; now and then any, and at times unsealed."""
    if seed % 4 == 0 or not content:
        altered = mutate(content)
    else:
        at = seed // 4 % len(content)
        piece = content[at : at + 64]
        new = mutate(piece)[: len(piece)]
        altered = content[:at] + new.ljust(len(piece), b"\0") + content[at + len(piece) :]
    return altered if seed % 16 == 5 else sealed_archive(altered)


def archives() -> Iterator[bytes]:
    """Small ones of both versions, with every codec, tensors, renames and removals."""
    from tests.maskstore.codecs.helpers import RECIPE, START, almost, trained_masks
    from tests.maskstore.helpers import random_masks, random_tensors

    start = {"scores": START.to_json()}
    trained = LAYOUT.pack(trained_masks(LAYOUT))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with MaskArchive.create(path, LAYOUT, backbone=RECIPE) as archive:
            for number, codec in enumerate(("raw", "zstd", "gaps", "ans", "seeded")):
                dense = codec in ("raw", "seeded")
                masks = random_masks(number, LAYOUT, 0.5 if dense else 0.02)
                archive.add(f"t/{number}", masks, start, codec=codec)
            archive.add("alike", LAYOUT.unpack(almost(trained, LAYOUT, 0.01)), start)
            archive.remove("t/0")
            archive.update("t/1", {"classes": ["a", "b"]})
            yield path.read_bytes()
            archive.add("with", random_masks(9, LAYOUT), tensors=random_tensors(1))
            archive.set_shared_tensors("statistics", random_tensors(2))
            archive.rename("t/2", "renamed")
            yield path.read_bytes()


# --- memories


def alter_memory(content: bytes, mutate: Mutate, seed: int) -> bytes:
    """Its description or its state altered, the checksum made good."""
    try:
        text, state = parts_of(content, "fuzzed")
    except ArchiveError:
        return mutate(content)
    if seed % 3 == 0:
        return mutate(content)
    text, state = (mutate(text), state) if seed % 3 == 1 else (text, mutate(state))
    return b"".join(assemble(text, state))


def memories() -> Iterator[bytes]:
    """One of every rule and form that is small."""
    yield from (path.read_bytes() for path in sorted((GOLDEN / "hopfield").glob("*.h5")))
    memory = new_memory("modern", 8)
    memory.encode(np.int8([1, -1] * 4))
    with tempfile.TemporaryDirectory() as folder:
        save_memory(Path(folder) / "m.h5", memory, {"note": 1})
        yield (Path(folder) / "m.h5").read_bytes()


# --- zip files: arrays and checkpoints


def alter_zip(content: bytes, mutate: Mutate, seed: int) -> bytes:
    """One member altered, its checksum made good; at times the file itself."""
    if seed % 4 == 0:
        return mutate(content)
    written = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            parts = {each: members.read(each) for each in members.namelist()[:20]}
    except Exception:  # whatever zipfile makes of it
        return mutate(content)
    if not parts:
        return mutate(content)
    chosen = sorted(parts)[seed // 4 % len(parts)]
    with zipfile.ZipFile(written, "w") as members:
        for name, part in parts.items():
            members.writestr(name, mutate(part) if name == chosen else part)
    return written.getvalue()


def read_arrays(path: Path) -> None:
    """As ``add``, ``create --like`` and ``infer`` read an ``.npz``."""
    from supsup.datasets.inputs import load_inputs

    failed: list[SupsupError] = []
    for read in (lambda p: load_task(p, LAYOUT), layout_of, lambda p: load_inputs(p, "mnist")):
        try:
            read(path)
        except SupsupError as error:
            failed.append(error)
    if len(failed) == 3:
        raise failed[0]


def arrays() -> Iterator[bytes]:
    """Masks, masks with tensors, images as bytes and as numbers."""
    masks = {name: np.ones(shape, bool) for name, shape in LAYOUT.shapes.items()}
    for content in (
        masks,
        masks | {"tensors/bn.weight": np.ones(3, np.float32)},
        {"x_test": np.zeros((2, 28, 28), np.uint8)},
        {"images": np.zeros((1, 28, 28), np.float32)},
    ):
        file = io.BytesIO()
        np.savez_compressed(file, **content)
        yield file.getvalue()


def read_checkpoint(path: Path) -> None:
    """As ``import`` reads it."""
    from supsup.checkpoints import import_checkpoint

    import_checkpoint(path, path.with_name("new.h5"))


def checkpoints() -> Iterator[bytes]:
    """A tiny one of each kind that the importer knows."""
    import argparse

    import torch

    scores = {
        f"{layer}.{name}": torch.linspace(-1, 1, 12, dtype=torch.float32).reshape(4, 3)
        for layer in ("a", "b")
        for name in ("weight", "scores.0", "scores.1")
    }
    arguments = argparse.Namespace(sparsity=0.5, conv_type="MultitaskMaskConv", num_tasks=2)
    pack = {"t": {0: torch.ones(3, 2, dtype=torch.uint8)}}
    kinds: list[object] = [{"state_dict": scores, "args": arguments}, {"dataset2masks": pack}]
    for content in [*kinds, {"w.mask_real": scores["a.weight"]}]:
        file = io.BytesIO()
        torch.save(content, file)
        yield file.getvalue()


# --- IDX


def alter_idx(content: bytes, mutate: Mutate, seed: int) -> bytes:
    """What a gzip file holds altered, or the file itself."""
    if seed % 3 and content[:2] == b"\x1f\x8b":
        try:
            return gzip.compress(mutate(gzip.decompress(content)), 1)
        except (OSError, EOFError, zlib.error):
            pass
    return mutate(content)


def read_idx_file(path: Path) -> None:
    """As every data set does."""
    from supsup.datasets.idx import read_idx

    read_idx(path)


def idx_files() -> Iterator[bytes]:
    """Images and labels, plain and compressed."""
    for head, count in (
        (b"\0\0\x08\3" + struct.pack(">3I", 2, 3, 4), 24),
        (b"\0\0\x08\1\0\0\0\2", 2),
    ):
        yield head + bytes(range(count))
        yield gzip.compress(head + bytes(range(count)), 1)


# --- JSON


def _json_readers() -> list[Callable[[object], object]]:
    from maskstore.seeded.scores import ScoreStart
    from supsup.inference.ood import EnergyThreshold
    from supsup.inference.prototypes.features import FeatureRecipe
    from supsup.networks.recipe import BackboneRecipe
    from supsup.networks.weights_file import WeightsFile
    from supsup.tasks.fingerprint import Fingerprint
    from supsup.tasks.recipe import TaskRecipe
    from supsup.training.config import TrainConfig
    from supsup.training.metadata import Source, TaskMetadata

    classes = (MaskLayout, ScoreStart, BackboneRecipe, WeightsFile, TrainConfig, TaskRecipe)
    more = (Source, Fingerprint, FeatureRecipe, EnergyThreshold)

    def of_a_task(value: object) -> object:
        # What an archive gives as metadata is an object.
        return TaskMetadata.from_json(value if isinstance(value, dict) else {})

    return [*(each.from_json for each in (*classes, *more)), of_a_task]


def read_json(content: bytes) -> str:
    """A header, and each object that archives keep as JSON."""
    try:
        value = parse_header(content, "fuzzed")
    except SupsupError:
        return "refused"
    taken = 0
    for read in _json_readers():
        for each in (value, *value.values()):
            try:
                read(each)
            # The tests check types at every call, before a constructor can refuse a value.
            except (SupsupError, TypeCheckError):
                continue
            taken += 1
    return "read" if taken else "refused"


def json_texts() -> Iterator[bytes]:
    """Objects that a release wrote, as those of the tests' archives."""
    for content in archives():
        store = Store(MemoryDevice(content), "seed")
        yield store.header_bytes
        archive = MaskArchive(store, Path("seed"))
        yield from (json.dumps(task.metadata).encode() for task in archive)
    from supsup import TrainConfig
    from supsup.networks.recipe import BackboneRecipe

    recipe = BackboneRecipe(net="lenet-300-100", outputs=10).to_json()
    config = TrainConfig(steps=10).to_json()
    for value in (recipe, config, {"backbone": recipe, "training": config}):
        yield json.dumps(value).encode()


def alter_json(content: bytes, mutate: Mutate, seed: int) -> bytes:
    """The text altered; every second time one of its values, as JSON of another type."""
    others = (None, True, -1, 0, 2**63, 1e308, "", "x", "\ud800", [], [[]], {}, {"a": 1}, "0" * 300)
    try:
        value = json.loads(content)
        if seed % 2 or not isinstance(value, dict) or not value:
            return mutate(content)
        where, key = value, sorted(value)[seed // 2 % len(value)]
        while isinstance(where[key], dict) and where[key] and seed % 3:
            where = where[key]
            key = sorted(where)[seed // 7 % len(where)]
        where[key] = others[seed // 11 % len(others)]
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate(content)


class Target(NamedTuple):
    """``read`` says "read", "damaged" or "refused"; ``alter`` takes file, mutator and seed."""

    read: Callable[[bytes], str]
    alter: Callable[[bytes, Mutate, int], bytes]
    seeds: Callable[[], Iterator[bytes]]


TARGETS = {
    "archive": Target(read_archive, alter_archive, archives),
    "memory": Target(at_path(".h5", load_memory), alter_memory, memories),
    "npz": Target(at_path(".npz", read_arrays), alter_zip, arrays),
    "checkpoint": Target(at_path(".pt", read_checkpoint), alter_zip, checkpoints),
    "idx": Target(at_path("", read_idx_file), alter_idx, idx_files),
    "json": Target(read_json, alter_json, json_texts),
}
