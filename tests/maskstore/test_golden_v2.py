"""``tests/golden/v2.h5`` stays readable, bit for bit; ``tests/golden/make_v2.py`` made it."""

import hashlib
import json
import math
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import zstandard

from maskstore import MaskArchive
from maskstore._verify import verify
from tests.golden.make_v2 import LAYOUT, masks_of, tensors_of, write
from tests.maskstore.helpers import equal

GOLDEN = Path(__file__).parents[1] / "golden"

ORDER = [
    *("golden/0", "golden/1", "ünï/code", "golden/3", "golden/4", "golden/5", "golden/6"),
    "golden/7",
    *(f"golden/{number}" for number in range(9, 20)),
    "golden/2",
]
MASKS = {name: int(name.split("/")[1]) for name in ORDER if name != "ünï/code"}
MASKS |= {"ünï/code": 2, "golden/7": 8, "golden/2": 33}
TENSORS = {name: tensors_of(number) if 4 <= number < 20 else {} for name, number in MASKS.items()}
TENSORS |= {
    "golden/1": {"x": np.arange(6, dtype=np.int16)},
    "golden/5": {"x": np.arange(6, dtype=np.int32)},
    "golden/6": {},
}
SHARED = {"weights": tensors_of(50), "statistics": {"mean": np.array(0.5, np.float32)}}


def same(found, expected) -> bool:
    return equal(found, expected) and all(
        found[name].dtype == expected[name].dtype for name in expected
    )


def test_version_2_is_readable():
    with MaskArchive.open(GOLDEN / "v2.h5") as archive:
        assert verify(archive, deep=True) == []
        assert archive.format_version == 2
        assert archive.names() == ORDER
        for task in archive:
            assert equal(archive.get(task.name), masks_of(MASKS[task.name]))
            assert same(archive.tensors(task.name), TENSORS[task.name])
        assert archive.task("golden/9").classes == ("ä", "b")
        assert {name: archive.shared_tensors(name).keys() for name in archive.shared} == {
            name: tensors.keys() for name, tensors in SHARED.items()
        }
        assert all(same(archive.shared_tensors(name), SHARED[name]) for name in SHARED)
        dtypes = [each.dtype for each in archive.shared["weights"]]
        assert dtypes[3] == "bfloat16"
    digest = hashlib.sha256((GOLDEN / "v2.h5").read_bytes()).hexdigest()
    assert digest == (GOLDEN / "v2.sha256").read_text().split()[0]


def test_this_release_writes_version_2_to_the_byte(tmp_path):
    write(tmp_path / "new.h5")
    assert (tmp_path / "new.h5").read_bytes() == (GOLDEN / "v2.h5").read_bytes()


# docs/format.md, followed without any code of the package.
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "int16": 2}
WIDTHS |= {"int32": 4, "int64": 8, "bool": 1}


def decode_tensors(text: bytes, payload: bytes, sha256: bytes) -> dict[str, np.ndarray]:
    if not text:
        return {}
    (count,) = struct.unpack_from("<H", text)
    lengths = struct.unpack_from(f"<{count}I", text, 2)
    schema = text[2 + 4 * count :]
    if schema[0] == 0:
        schema = zlib.decompress(schema[1:], -15)
    found, digests, at = {}, [], 37 * count
    for number, (name, dtype, shape) in enumerate(json.loads(schema)):
        crc32, coding, digest = struct.unpack_from("<IB32s", payload, 37 * number)
        coded = payload[at : at + lengths[number]]
        at += lengths[number]
        assert zlib.crc32(coded) == crc32
        values = math.prod(shape)
        size = (values + 7) // 8 if dtype == "bool" else values
        if coding == 1:
            planes, start = [], 0
            for _ in range(WIDTHS[dtype]):
                (length,) = struct.unpack_from("<I", coded, start)
                plane = coded[start + 4 : start + 4 + length]
                start += 4 + length
                if length != size:
                    plane = zstandard.ZstdDecompressor().decompress(plane)
                planes.append(np.frombuffer(plane, np.uint8))
            coded = np.stack(planes, axis=1).tobytes()
        else:
            assert coding == 0
        assert hashlib.sha256(coded).digest() == digest
        digests.append(digest)
        if dtype == "bool":
            bits = np.unpackbits(np.frombuffer(coded, np.uint8), bitorder="little")[:values]
            array = bits.astype(bool)
        elif dtype == "bfloat16":
            halves = np.frombuffer(coded, "<u2")
            array = np.stack([np.zeros_like(halves), halves], axis=1).reshape(-1).view("<f4")
        else:
            array = np.frombuffer(coded, np.dtype(dtype).newbyteorder("<"))
        found[name] = array.reshape(shape)
    assert at == len(payload)
    assert hashlib.sha256(schema + b"".join(digests)).digest() == sha256
    return found


def test_the_specification_is_enough_to_read_it():
    places: dict[int, list] = {}
    names: dict[str, int] = {}
    shared = {}
    with h5py.File(GOLDEN / "v2.h5") as file:
        assert dict(file.attrs) == {"format": b"supsup-store", "version": b"2"}
        assert json.loads(bytes(file["header"][...]))["layout"] == LAYOUT.to_json()
        slots = bytes(file["commits"][...])
        assert [slots[at : at + 12] for at in (0, 512)] == [b"SUPSTORE\2\0\0\0"] * 2
        arrived = 0
        for key in sorted(key for key in file if key.isdigit()):
            text, heap = (bytes(file[key][name][...]) for name in ("text", "heap"))
            for row in file[key]["index"][...]:
                start, name_end = int(row["text_offset"]), int(row["name_bytes"])
                name_end += start
                name = text[start:name_end].decode()
                rest = text[name_end : name_end + int(row["metadata_bytes"])]
                begin = int(row["payload_offset"])
                payload = heap[begin : begin + int(row["payload_bytes"])]
                assert zlib.crc32(payload) == int(row["payload_crc32"])
                sha256, kind = bytes(row["sha256"]), int(row["kind"])
                if kind in (1, 4):
                    names[name] = arrived
                    places[arrived] = [name, payload, None if kind == 4 else {}]
                    arrived += 1
                elif kind == 3:
                    del places[names.pop(name)]
                elif kind == 5:
                    places[names[name]][2] = decode_tensors(rest, payload, sha256)
                elif kind == 6:
                    names[rest.decode()] = names.pop(name)
                    places[names[rest.decode()]][0] = rest.decode()
                else:
                    assert kind == 7
                    shared[name] = decode_tensors(rest, payload, sha256)
    assert [name for name, _, _ in places.values()] == ORDER
    for name, payload, tensors in places.values():
        masks = masks_of(MASKS[name]).values()
        packed = b"".join(np.packbits(each.ravel(), bitorder="little").tobytes() for each in masks)
        assert payload == packed
        assert same(tensors, TENSORS[name])
    assert shared.keys() == SHARED.keys()
    assert all(same(shared[name], SHARED[name]) for name in SHARED)
