"""A damaged or forged archive ends in good masks or ArchiveError, quickly, in little memory.

``benchmarks/fuzz.py`` tries many more.
"""

import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from maskstore import ArchiveError, MaskArchive, MaskLayout
from maskstore._verify import verify
from maskstore.maintenance import compact
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice
from tests.maskstore.codecs.helpers import RECIPE, START, almost, trained_masks
from tests.maskstore.fuzz import DAMAGE, FORGERY, fuzzed
from tests.maskstore.helpers import random_masks

LAYOUT = MaskLayout({"fc1.weight": (40, 30), "fc2.weight": (13,)})


def sound_archive(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """(file, packed masks) with every codec, several extents, removals and changes."""
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
        return path.read_bytes(), {
            name: archive.get_packed(name).tobytes() for name in archive.names()
        }


def read_everything(content: bytes, good: dict[str, bytes] | None) -> str:
    """Read what can be read; AssertionError if a bad mask passes as good. Returns what happened."""
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
    return "damaged" if damaged else "sound"


@pytest.mark.parametrize("kind", [*DAMAGE, *FORGERY])
def test_fuzzed_archives(tmp_path, kind):
    content, good = sound_archive(tmp_path / "a.h5")
    rng = random.Random(kind)
    outcomes = Counter()
    tracemalloc.start()
    for _ in range(10):
        start = time.perf_counter()
        bad = fuzzed(content, kind, rng)
        # A forged row may well describe another good mask; damage may not.
        outcomes[read_everything(bad, good if kind in DAMAGE or kind == "payload" else None)] += 1
        assert time.perf_counter() - start < 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256e6
    assert outcomes["refused"] + outcomes["damaged"] > 0, outcomes


def test_the_unfuzzed_archive_is_sound(tmp_path):
    content, good = sound_archive(tmp_path / "a.h5")
    assert read_everything(content, good) == "sound"
    wrong = dict(good, **{"t/0": b"other"})
    with pytest.raises(AssertionError, match="t/0 is wrong"):
        read_everything(content, wrong)
