"""``examples/read_archive.py``, which shares no code with the package, reads what the package does.

It is documentation as well: another implementation of docs/format.md and docs/codecs.md.
"""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from examples import read_archive as second
from maskstore import MaskArchive
from maskstore.codecs import CODECS
from maskstore.codecs.entropy.levels import LEVELS, NUMERATORS
from tests.maskstore.helpers import equal
from tests.maskstore.test_fuzz import sound_archive

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def same_tensors(found, expected) -> bool:
    return equal(found, expected) and all(
        found[name].dtype == expected[name].dtype.newbyteorder("<") for name in expected
    )


def read_both(path: Path) -> list[str]:
    """The codecs of its tasks; whatever the two readers disagree on is an AssertionError."""
    tasks, shared = second.read_archive(path)
    with MaskArchive.open(path) as archive:
        assert list(tasks) == archive.names()
        for name, task in tasks.items():
            assert equal(task["mask"], archive.get(name)), name
            assert task["metadata"] == archive.task(name).metadata, name
            assert same_tensors(task["tensors"], archive.tensors(name)), name
        assert sorted(shared) == sorted(archive.shared)
        for name in shared:
            assert same_tensors(shared[name], archive.shared_tensors(name)), name
        return [task.codec for task in archive]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.h5")), ids=lambda path: path.stem)
def test_golden_archives(path):
    assert len(read_both(path)) == 20


@pytest.mark.parametrize("version", [1, 2])
def test_every_codec(tmp_path, version):
    path = tmp_path / "a.h5"
    sound_archive(path, version)
    assert set(read_both(path)) == {codec.name for codec in CODECS}
    with MaskArchive.open(path) as archive:
        entry = archive.entry("alike/0")
        assert archive.format_version == version
    data = bytearray(path.read_bytes())
    data[entry.offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssertionError, match="damaged"):
        second.read_archive(path)


def test_golden_payloads():
    vectors = json.loads((GOLDEN / "codecs.json").read_text())
    numbers = {codec.name: codec.id for codec in CODECS}
    assert {vector["codec"] for vector in vectors} == set(numbers)
    for vector in vectors:
        layers = [(layer["name"], tuple(layer["shape"])) for layer in vector["layout"]]
        row = (numbers[vector["codec"]], *map(bytes.fromhex, (vector["stored"], vector["sha256"])))
        standing = {}
        if row[0] == 5:
            reference = bytes.fromhex(vector["reference"])
            sha256 = second.hashlib.sha256(reference).digest()
            standing[row[1][:8]] = (0, reference, sha256)
        second.read_mask(row, layers, vector["backbone"], standing)  # compares the sha256
        with pytest.raises(AssertionError, match="wrong mask"):
            wrong = (row[0], row[1], bytes(32))
            second.read_mask(wrong, layers, vector["backbone"], standing)


def test_the_table_of_levels_is_its_formula():
    assert [second.numerator(level) for level in range(1, LEVELS + 1)] == list(NUMERATORS[1:])


def test_it_shares_no_code_with_the_package():
    tree = ast.parse(Path(second.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    standard = {"hashlib", "json", "math", "struct", "sys", "zlib", "fnmatch", "functools"}
    assert imported == standard | {"h5py", "numpy", "zstandard"}


def test_it_prints_what_is_there(capsys, monkeypatch):
    import runpy

    monkeypatch.setattr("sys.argv", ["read_archive.py", *map(str, sorted(GOLDEN.glob("*.h5")))])
    runpy.run_path(second.__file__, run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 42
    assert printed[-1] == "20 tasks 'weights' 'statistics'"
    with MaskArchive.open(GOLDEN / "v1.h5") as archive:
        ones = int(np.sum([layer.sum() for layer in archive.get("golden/0").values()]))
    assert printed[0] == f"'golden/0' {ones} ones"
