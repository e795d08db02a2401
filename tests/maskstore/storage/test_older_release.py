"""A release of version 1, as it is in the history, beside this one.

It reads and writes what this release keeps in version 1, and refuses a file of version 2 in one
sentence: also after a crash in the middle of the change, and where a commit slot is damaged.
"""

import json
import os
import random
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from maskstore import MaskArchive
from maskstore._verify import verify
from maskstore.storage.format import SECTOR, SLOT_OFFSETS
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice
from tests.maskstore.helpers import LAYOUT, equal, random_masks, random_tensors
from tests.maskstore.storage.test_crash import HEADER, PATH, check_every_crash_point, state_of

RELEASE = "5730a2d"
SENTENCE = (
    "UnsupportedVersion: memory: format version 2, this release reads version 1; "
    "use a newer supsup-store"
)

READER = """
import json, struct, sys
from pathlib import Path
from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveError
from maskstore.store import Store
from maskstore.testing import MemoryDevice
while head := sys.stdin.buffer.read(4):
    device = MemoryDevice(sys.stdin.buffer.read(struct.unpack("<I", head)[0]))
    try:
        archive = MaskArchive(Store(device, "memory"), Path("memory.h5"))
        packed = {task.name: archive.get_packed(task.name).tobytes().hex() for task in archive}
        seen = {task.name: [packed[task.name], task.metadata] for task in archive}
    except ArchiveError as error:
        seen = f"{type(error).__name__}: {error}"
    print(json.dumps(seen), flush=True)
"""

WRITER = """
import sys
import numpy as np
from maskstore.archive import MaskArchive
from maskstore.errors import ArchiveError
try:
    with MaskArchive.open(sys.argv[1], "a") as archive:
        layers = {name: np.ones(shape, bool) for name, shape in archive.layout.shapes.items()}
        archive.add("by the older release", layers)
        archive.remove("t/0")
except ArchiveError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Path:
    """A folder with the package ``maskstore`` of that release."""
    folder = tmp_path_factory.mktemp("older")
    root = Path(__file__).parents[3]
    packed = subprocess.run(
        ["git", "-C", str(root), "archive", RELEASE, "maskstore"], capture_output=True
    )
    if packed.returncode:
        pytest.skip("the history does not reach back to a release of version 1")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


@pytest.fixture
def look(older):
    """Asks the older release what it sees in a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER],
        cwd=older,
        env={"PYTHONPATH": str(older)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(content: bytes):
        process.stdin.write(struct.pack("<I", len(content)) + content)
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield ask
        process.stdin.close()


def seen_of(state: dict) -> dict:
    """A state as the older release would tell it."""
    return {name: [mask.hex(), metadata] for name, (mask, metadata, *_) in state.items()}


def needs_version_2(state: dict) -> bool:
    """Whether that can be told by the state; a rename cannot."""
    return any(isinstance(name, tuple) or about[3] for name, about in state.items())


@pytest.mark.parametrize("version", [1, 2])
def test_power_loss_at_every_operation(look, version):
    answers = {"sentence": 0, "state": 0}
    changed = []

    def check(content: bytes, allowed: list[dict], where: str) -> None:
        seen = look(content)
        if isinstance(seen, str):
            assert seen == SENTENCE, where
            assert any(map(needs_version_2, allowed)) or changed, where
            answers["sentence"] += 1
        else:
            states = [state for state in allowed if not needs_version_2(state)]
            assert seen in [seen_of(state) for state in states], where
            assert not changed, where
            answers["state"] += 1
        if needs_version_2(allowed[0]):
            changed.append(True)

    check_every_crash_point(transactions=7, samples=1, version=version, look=check)
    assert answers["state"] > 100
    assert (answers["sentence"] > 100) == (version == 2)


def test_either_slot_of_version_2_may_be_damaged(look):
    device = MemoryDevice()
    archive = MaskArchive(Store.create(device, HEADER, "memory"), PATH)
    for seed in range(3):
        archive.add(f"t/{seed}", random_masks(seed))
    assert look(bytes(device.content)) == seen_of(state_of(archive))
    archive.add("t/3", random_masks(3), tensors=random_tensors(3))
    for damaged in ([], *([offset] for offset in SLOT_OFFSETS), SLOT_OFFSETS):
        content = bytearray(device.content)
        for offset in damaged:
            content[offset + SECTOR - 1] ^= 1
        assert look(bytes(content)) == SENTENCE
        if len(damaged) < 2:  # and this release still finds the newest state
            left = MaskArchive(Store(MemoryDevice(bytes(content)), "m"), PATH)
            assert equal(left.tensors("t/3"), random_tensors(3))


TURNS = """
import json, sys
import numpy as np
from maskstore.archive import MaskArchive
try:
    from maskstore.maintain import compact  # as the older release calls it
except ModuleNotFoundError:
    from maskstore.maintenance import compact
for line in sys.stdin:
    path, kind, name, seed = json.loads(line)
    with MaskArchive.open(path, "a") as archive:
        rng = np.random.default_rng(seed)
        shapes = archive.layout.shapes.items()
        layers = {layer: rng.random(shape) < 0.5 for layer, shape in shapes}
        if kind == "add":
            archive.add(name, layers, {"seed": seed})
        elif kind == "many":
            archive.add_many((f"{name}/{at}", layers, {"seed": seed}) for at in range(30))
        elif kind == "remove":
            archive.remove(name)
        elif kind == "update":
            archive.update(name, {"seed": seed, "text": "x" * seed})
        else:
            compact(archive)
    print(flush=True)
"""
"""One change a line, of either release: both run this script."""


@pytest.fixture
def releases(older):
    """The older release and this one, each waiting for changes to make."""
    root = str(Path(__file__).parents[3])
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TURNS],
            env=os.environ | {"PYTHONPATH": path},
            cwd=path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path in (str(older), root)
    ]
    yield both
    for process in both:
        process.communicate()


def test_releases_take_turns_at_one_file_of_version_1(releases, look, tmp_path):
    """After each change this release, the older one and a dictionary say the same."""
    path, rng = tmp_path / "a.h5", random.Random(0)
    MaskArchive.create(path, LAYOUT).close()
    model: dict[str, tuple[int, dict]] = {}
    turns = Counter()
    for number in range(40):
        kind = rng.choice(["add", "add", "add", "many", "remove", "update", "compact"])
        if not model and kind in ("remove", "update"):
            kind = "add"
        known = rng.choice([*model]) if model and kind in ("remove", "update") else f"t/{number}"
        which = rng.randrange(2)
        process = releases[which]
        process.stdin.write(json.dumps([str(path), kind, known, number]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "\n", f"turn {number}: {kind}"
        turns[which, kind] += 1
        if kind == "add":
            model[known] = number, {"seed": number}
        elif kind == "many":
            model |= {f"{known}/{at}": (number, {"seed": number}) for at in range(30)}
        elif kind == "remove":
            del model[known]
        elif kind == "update":
            model[known] = model[known][0], {"seed": number, "text": "x" * number}
        packed = {
            name: LAYOUT.pack(random_masks(seed)).tobytes() for name, (seed, _) in model.items()
        }
        with MaskArchive.open(path) as archive:
            assert archive.names() == list(model)
            assert archive.store.slot.version == 1
            assert all(archive.get_packed(name).tobytes() == packed[name] for name in model)
            assert all(archive.task(name).metadata == about for name, (_, about) in model.items())
            assert verify(archive, deep=number % 10 == 0) == []
        if number % 3 == 0:
            expected = {name: [packed[name].hex(), model[name][1]] for name in model}
            assert look(path.read_bytes()) == expected
    assert {kind for _, kind in turns} == {"add", "many", "remove", "update", "compact"}
    assert min(sum(n for (who, _), n in turns.items() if who == each) for each in (0, 1)) > 12


def test_both_releases_write_one_file_of_version_1(older, look, tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as archive:
        archive.add_many((f"t/{seed}", random_masks(seed), {"seed": seed}) for seed in range(40))
    before = path.read_bytes()

    def write() -> str:
        command = [sys.executable, "-c", WRITER, str(path)]
        run = subprocess.run(
            command,
            cwd=older,
            env={"PYTHONPATH": str(older)},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.strip()

    assert write() == ""
    with MaskArchive.open(path, "a") as archive:
        assert archive.names() == [*(f"t/{seed}" for seed in range(1, 40)), "by the older release"]
        assert verify(archive, deep=True) == []
        archive.update("t/1", {"by": "this release"})
        assert look(path.read_bytes()) == seen_of(state_of(archive))
    path.write_bytes(before)
    with MaskArchive.open(path, "a") as archive:
        archive.rename("t/0", "first")
    changed = path.read_bytes()
    assert write() == SENTENCE.replace("memory", str(path))
    assert path.read_bytes() == changed
