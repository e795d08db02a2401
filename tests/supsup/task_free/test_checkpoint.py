"""A learner that was killed goes on to the same archive."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import InvalidInput
from supsup.archives import create_archive
from supsup.task_free import LearnerCheckpoint, learn_into
from tests.supsup.task_free.helpers import corners, new_learner, noise, small_net, stream_of

SETTINGS = {"steps": 60, "budget": None}


def visits():
    """Masks are left unfinished, found again, finished; outliers are held and skipped."""
    stream = stream_of(corners(2), visits=3, length=28)
    return [*stream[:25], *noise(2), *stream[25:80], *noise(1, 3), *stream[80:]]


def contents(path):
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256, task.metadata) for task in archive]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "a.h5"
    learner = new_learner()
    with create_archive(path, small_net()) as archive:
        yields = [task.name for task in learn_into(archive, learner, visits())]
    return contents(path), yields, learner.report


def begin(path):
    create_archive(path, small_net()).close()


def go_on(path, *, most=None, checkpoint=None):
    """Learn until so many masks were kept; then drop everything, as a kill would."""
    learner = new_learner()
    checkpoint = checkpoint or LearnerCheckpoint(path, SETTINGS)
    with MaskArchive.open(path, "a") as archive:
        for at, _ in enumerate(
            learn_into(archive, learner, visits(), checkpoint=checkpoint), start=1
        ):
            if at == most:
                break
    return learner


class DiesBeforeSaving(LearnerCheckpoint):
    """Is killed after the archive has the n-th mask and before the state is kept."""

    def __init__(self, path, n):
        super().__init__(path, SETTINGS)
        self.left = n

    def save(self, learner):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        super().save(learner)


def test_killed_anywhere_it_goes_on_to_the_same(unbroken, tmp_path):
    expected, yields, report = unbroken
    assert len(yields) >= 6
    for at in (1, 2, 4, len(yields)):
        path = tmp_path / f"{at}.h5"
        begin(path)
        go_on(path, most=at)
        learner = go_on(path)
        assert contents(path) == expected
        assert learner.report == report
        assert not Path(f"{path}.learning").exists()


def test_killed_between_the_mask_and_the_state(unbroken, tmp_path):
    expected, _, report = unbroken
    for at in (3, 5):
        path = tmp_path / f"{at}.h5"
        begin(path)
        with pytest.raises(KeyboardInterrupt):
            go_on(path, checkpoint=DiesBeforeSaving(path, at))
        learner = go_on(path)
        assert contents(path) == expected
        assert learner.report == report


def test_killed_again_and_again(unbroken, tmp_path):
    expected, yields, _ = unbroken
    path = tmp_path / "a.h5"
    begin(path)
    for _ in yields[::2]:
        go_on(path, most=1)
    go_on(path)
    assert contents(path) == expected


def test_kill_9(unbroken, tmp_path):
    path = tmp_path / "a.h5"
    begin(path)
    # At the end of its data it waits for more: on a slow machine, too, it is killed before the end.
    script = (
        "import sys, time\nfrom tests.supsup.task_free import test_checkpoint as here\n"
        "known = here.visits()\n"
        "def visits():\n    yield from known\n    time.sleep(600)\n"
        "here.visits = visits\n"
        "print('begun', flush=True)\nhere.go_on(sys.argv[1])\nprint('ended', flush=True)"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(path)]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    state = Path(f"{path}.learning") / "state"
    while not state.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.communicate()[0] == ""
    go_on(path)
    assert contents(path) == unbroken[0]


def test_what_cannot_go_on(tmp_path):
    path = tmp_path / "a.h5"
    begin(path)
    go_on(path, most=3)
    folder = Path(f"{path}.learning")
    with MaskArchive.open(path, "a") as archive:

        def restore(settings=SETTINGS):
            LearnerCheckpoint(path, settings).restore(new_learner(), archive)

        restore()
        with pytest.raises(InvalidInput, match="begun with budget None, asked for 9"):
            restore({"steps": 60, "budget": 9})
        scores = sorted(folder.glob("*.f32"))[0]
        whole = scores.read_bytes()
        for bad in (whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1])):
            scores.write_bytes(bad)
            with pytest.raises(InvalidInput, match="f32: missing or damaged"):
                restore()
        scores.unlink()
        with pytest.raises(InvalidInput, match="f32: missing or damaged"):
            restore()
        scores.write_bytes(whole)
        restore()
        text = (folder / "state").read_bytes()
        for bad in (text[:-9], text.replace(b"level", b"lovel"), b"", b"\xff"):
            (folder / "state").write_bytes(bad)
            with pytest.raises(InvalidInput, match="state: damaged"):
                restore()
        (folder / "state").unlink()
        with pytest.raises(InvalidInput, match="no .*state to go on from"):
            restore()


def test_a_state_of_another_archive(tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    begin(path)
    go_on(path, most=4)  # a mask is finished by then
    Path(f"{path}.learning").rename(tmp_path / "b.h5.learning")
    begin(other)
    with (
        MaskArchive.open(other, "a") as archive,
        pytest.raises(InvalidInput, match="mask 'nns/0' is not the one in"),
    ):
        LearnerCheckpoint(other, SETTINGS).restore(new_learner(), archive)


def test_the_digest_is_of_the_text(tmp_path):
    path = tmp_path / "a.h5"
    begin(path)
    go_on(path, most=2)
    digest, text = (Path(f"{path}.learning") / "state").read_bytes().splitlines()
    assert hashlib.sha256(text).hexdigest().encode() == digest
    scores = sorted(Path(f"{path}.learning").glob("*.f32"))
    assert len(np.fromfile(scores[0], "<f4")) == small_net().layout.bits
