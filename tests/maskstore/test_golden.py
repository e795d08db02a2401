"""Archives of every format version stay readable, bit for bit.

``tests/golden/v1.h5`` was written by the first release. A change that breaks this test breaks
people's files: it needs a new format version, and this file stays.
"""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

from maskstore import MaskArchive, MaskLayout
from maskstore._verify import verify
from maskstore.storage.format import ROW_BYTES, Slot

GOLDEN = Path(__file__).parents[1] / "golden"
LAYOUT = MaskLayout({"conv.weight": (4, 1, 3, 3), "fc.weight": (5, 13)})


def masks_of(number: int) -> dict[str, np.ndarray]:
    """A mask without a random generator."""
    masks = {}
    for name, shape in LAYOUT.shapes.items():
        at = np.arange(np.prod(shape), dtype=np.int64)
        masks[name] = ((at * at + number) % 7 < 2 + number % 3).reshape(shape)
    return masks


def write(path: Path) -> None:
    """How ``v1.h5`` was made."""
    with MaskArchive.create(
        path,
        LAYOUT,
        backbone={"net": "golden", "seed": 7},
        weights_digest="0123456789abcdef" * 4,
        parameters=101,
        metadata_example={"metrics": {"accuracy": 0.5}, "note": "typical"},
    ) as archive:
        for number in range(20):
            metadata = {"metrics": {"accuracy": number / 20}, "note": "typical"}
            archive.add(
                f"golden/{number}", masks_of(number), metadata, codec=("raw", "zstd")[number % 2]
            )
        archive.remove("golden/3")
        archive.update("golden/4", {"changed": "ä"})
        archive.add("ünï/code", masks_of(33))


def test_version_1_is_readable():
    with MaskArchive.open(GOLDEN / "v1.h5") as archive:
        assert verify(archive, deep=True) == []
        assert archive.layout == LAYOUT
        assert archive.backbone == {"net": "golden", "seed": 7}
        assert archive.names() == [
            *(f"golden/{number}" for number in range(20) if number != 3),
            "ünï/code",
        ]
        for task in archive:
            number = 33 if task.name == "ünï/code" else int(task.name.split("/")[1])
            expected = masks_of(number)
            for name, mask in archive.get(task.name).items():
                assert np.array_equal(mask, expected[name])
        assert archive.task("golden/5").metadata["metrics"] == {"accuracy": 0.25}
        assert archive.task("golden/4").metadata == {"changed": "ä"}
    digest = hashlib.sha256((GOLDEN / "v1.h5").read_bytes()).hexdigest()
    assert digest == (GOLDEN / "v1.sha256").read_text().split()[0]


def test_this_release_writes_version_1_to_the_byte(tmp_path):
    write(tmp_path / "new.h5")
    new, golden = (path.read_bytes() for path in (tmp_path / "new.h5", GOLDEN / "v1.h5"))
    # zstd frames of so few bytes hold them as they are, in every release of that library.
    assert new == golden


def test_the_specification_is_enough_to_read_it_with_numpy_and_json():
    """docs/format.md, followed without any code of the package."""
    data = (GOLDEN / "v1.h5").read_bytes()
    u = lambda at, size: int.from_bytes(data[at : at + size], "little")  # noqa: E731
    slot = max((512, 1024), key=lambda at: u(at + 16, 8))
    assert data[slot : slot + 8] == b"SUPSTORE"
    assert u(slot + 8, 4) == 1
    header = json.loads(data[1536 : 1536 + u(slot + 24, 4)])
    assert [item["name"] for item in header["layout"]] == list(LAYOUT.shapes)
    table, extents = u(slot + 32, 8), u(slot + 40, 4)
    found = {}
    for number in range(extents):
        entry = table + 56 * number
        index, text, heap = (u(entry + at, 8) for at in (0, 8, 16))
        rows = u(slot + 48, 4) if number == extents - 1 else u(entry + 32, 4)
        for row in range(index, index + rows * ROW_BYTES, ROW_BYTES):
            start = text + u(row + 12, 4)
            name = data[start : start + u(row + 20, 2)].decode()
            payload = data[heap + u(row, 8) :][: u(row + 8, 4)]
            if u(row + 23, 1) == 3:
                del found[name]
            elif u(row + 23, 1) == 1:
                found[name] = (u(row + 22, 1), payload, data[row + 32 : row + 64])
    for name, (codec, payload, sha256) in found.items():
        number = 33 if name == "ünï/code" else int(name.split("/")[1])
        packed = b"".join(
            np.packbits(mask.ravel(), bitorder="little").tobytes()
            for mask in masks_of(number).values()
        )
        assert hashlib.sha256(packed).digest() == sha256
        if codec == 0:
            assert payload == packed


def test_h5py_reads_it():
    with h5py.File(GOLDEN / "v1.h5") as file:
        assert dict(file.attrs) == {"format": b"supsup-store", "version": b"1"}
        rows = np.concatenate([file[key]["index"][...] for key in sorted(file) if key.isdigit()])
    assert len(rows) == 23
    assert rows["kind"].tolist().count(3) == 1


def test_a_slot_decodes_only_whole():
    sector = (GOLDEN / "v1.h5").read_bytes()[512:1024]
    assert Slot.decode(sector) is not None
    for at in range(0, 512, 11):
        broken = bytearray(sector)
        broken[at] ^= 4
        assert Slot.decode(bytes(broken)) is None
