"""A damaged or forged archive ends in good masks or ArchiveError, quickly, in little memory.

``benchmarks/fuzz.py`` tries many more.
"""

import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from maskstore import ArchiveError, BFloat16, MaskArchive, MaskLayout
from maskstore._verify import verify
from maskstore.maintenance import compact
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice
from tests.maskstore.codecs.helpers import RECIPE, START, almost, trained_masks
from tests.maskstore.fuzz import DAMAGE, FORGERY, TENSOR_FORGERY, fuzzed
from tests.maskstore.helpers import random_masks, random_tensors

LAYOUT = MaskLayout({"fc1.weight": (40, 30), "fc2.weight": (13,)})


def bytes_of(tensors) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in tensors.items()}


def sound_archive(path: Path, version: int = 1) -> tuple[bytes, dict]:
    """(file, what is in it) with every codec, several extents, removals and changes.

    What is in it: packed masks by name; in version 2 the tensors by ``("tensors", name)``, which
    every second task and two sets of the archive's own have.
    """
    with MaskArchive.create(path, LAYOUT, backbone=RECIPE) as archive:
        trained, start = LAYOUT.pack(trained_masks(LAYOUT)), {"scores": START.to_json()}
        for seed in range(5):
            alike = almost(trained, LAYOUT, 0.01, seed)
            archive.add(f"alike/{seed}", LAYOUT.unpack(alike), start)
        compact(archive, codec="history")
        assert [task.codec for task in archive].count("history") == 4
        for seed in range(45):
            kind = "seeded" if seed % 9 == 8 else ("raw", "zstd", "gaps", "ans")[seed % 4]
            if kind == "seeded":
                masks, metadata = trained_masks(LAYOUT, seed), start
            else:
                masks = random_masks(seed, LAYOUT, 0.5 if kind == "raw" else 0.02)
                metadata = {"seed": seed}
            assert archive.add(f"t/{seed}", masks, metadata, codec=kind).codec == kind
        archive.remove("t/3")
        archive.update("t/4", {"other": [1, 2]})
        if version == 2:
            for seed in range(6, 45, 2):
                archive.set_tensors(f"t/{seed}", tensors_of(seed))
            archive.add_many(
                (f"with/{seed}", random_masks(seed, LAYOUT), {}, tensors_of(seed))
                for seed in range(9)
            )
            archive.set_shared_tensors("weights", tensors_of(100))
            archive.set_shared_tensors("statistics", tensors_of(101))
            archive.set_tensors("with/1", tensors_of(3))
            archive.rename("t/8", "renamed")
        good = {name: archive.get_packed(name).tobytes() for name in archive.names()}
        tensors = {("tensors", name): bytes_of(archive.tensors(name)) for name in archive.names()}
        shared = {
            ("shared", name): bytes_of(archive.shared_tensors(name)) for name in archive.shared
        }
        return path.read_bytes(), {**good, **tensors, **shared}


def tensors_of(seed: int):
    """Every type and coding."""
    rng = np.random.default_rng(seed)
    return random_tensors(seed) | {
        "planes": rng.normal(1.0, 0.01, (20, 9)).astype(np.float32),
        "half": BFloat16(np.arange(seed % 5 * 20, dtype=np.float32)),
        "zeros": np.zeros((40, 3), np.int32),
    }


def read_everything(content: bytes, good: dict | None) -> str:
    """Read what can be read; AssertionError if anything wrong passes as good: "refused", "damaged"
    or "sound"."""
    try:
        archive = MaskArchive(Store(MemoryDevice(content), "fuzzed"), Path("fuzzed"))
    except ArchiveError:
        return "refused"
    damaged = bool(verify(archive, deep=True))
    for name in archive.names():
        try:
            packed = archive.get_packed(name)
        except ArchiveError:
            damaged = True
            continue
        if good is not None and name in good:
            assert packed.tobytes() == good[name], f"{name} is wrong and passed as good"
    keys = [("tensors", name) for name in archive.names()]
    keys += [("shared", name) for name in archive.shared_entries]
    for key in keys:
        kind, name = key
        try:
            read = archive.tensors if kind == "tensors" else archive.shared_tensors
            found = bytes_of(read(name))
        except ArchiveError:
            damaged = True
            continue
        if good is not None and key in good and not archive.damage:
            assert found == good[key], f"{key} is wrong and passed as good"
    try:
        list(archive)
    except ArchiveError:
        damaged = True
    return "damaged" if damaged else "sound"


def is_harmless(kind: str) -> bool:
    """Whether what is read must be as it was: a forged row may describe another good mask."""
    return kind in (*DAMAGE, "payload", "checks")


CASES = [(1, kind) for kind in (*DAMAGE, *FORGERY)]
CASES += [(2, kind) for kind in (*DAMAGE, *FORGERY, *TENSOR_FORGERY)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Of each version, what :func:`sound_archive` gives."""
    folder = tmp_path_factory.mktemp("sound")
    return {version: sound_archive(folder / f"{version}.h5", version) for version in (1, 2)}


@pytest.mark.parametrize(("version", "kind"), CASES)
def test_fuzzed_archives(sound, version, kind):
    content, good = sound[version]
    rng = random.Random(kind)
    outcomes = Counter()
    tracemalloc.start()
    for _ in range(10 if version == 1 else 5):
        start = time.process_time()
        bad = fuzzed(content, kind, rng)
        outcomes[read_everything(bad, good if is_harmless(kind) else None)] += 1
        assert time.process_time() - start < 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256e6
    assert outcomes["refused"] + outcomes["damaged"] > 0, outcomes


@pytest.mark.parametrize("version", [1, 2])
def test_the_unfuzzed_archive_is_sound(sound, version):
    content, good = sound[version]
    assert read_everything(content, good) == "sound"
    wrong = dict(good, **{"t/0": b"other"})
    with pytest.raises(AssertionError, match="t/0 is wrong"):
        read_everything(content, wrong)
    key = ("tensors", "with/2") if version == 2 else ("tensors", "t/0")
    with pytest.raises(AssertionError, match="is wrong and passed"):
        read_everything(content, {**good, key: {"x": b"other"}})
