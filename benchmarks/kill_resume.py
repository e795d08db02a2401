"""Killed at random and resumed, again and again: the masks against those of an undisturbed run."""

import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import start_command
from benchmarks.results import save_results
from maskstore import ArchiveError, MaskArchive, verify

TASKS, KILLS = 100, 20
COMMAND = (
    *("--dataset", "permuted-mnist-sample", "--tasks", str(TASKS), "--steps", "60"),
    *("--outputs", "10", "--codec", "fast", "--parallel", "2"),
)


def digests(path: Path) -> list[tuple[str, str]]:
    """Name and digest of every mask, in the order of the archive."""
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256) for task in archive]


def train_killing(path: Path, command: Sequence[str], *, kills: int, seed: int) -> list[int]:
    """Train with ``supsup-store``, killed with SIGKILL that often, then to the end.

    Each kill comes up to 0.3 s after a task more than before is in the archive, so that every run
    gets somewhere and none is spared.

    Returns:
        How many tasks the archive had after each kill.
    """
    choose, done = random.Random(seed), []
    for _ in range(kills):
        wanted = (done[-1] if done else 0) + choose.randint(1, 3)
        done.append(kill_training(path, command, wanted, choose.uniform(0.0, 0.3)))
    finish_training(path, command)
    return done


def kill_training(path: Path, command: Sequence[str], wanted: int, wait: float) -> int:
    """Train, and kill it with SIGKILL ``wait`` seconds after ``wanted`` tasks are in the archive.

    Returns:
        How many tasks the archive has then: all of them where training ended before.
    """
    process = _start(path, command)
    while process.poll() is None and stored(path) < wanted:
        time.sleep(0.01)
    time.sleep(wait)
    process.kill()
    process.wait()
    return stored(path)


def finish_training(path: Path, command: Sequence[str]) -> None:
    """Train what is missing, in a process of its own."""
    if _start(path, command).wait():
        raise SystemExit(f"training failed: {' '.join(command)}")


def _start(path: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    return start_command("train", path, *command, "--resume", "--quiet", stdout=subprocess.DEVNULL)


def stored(path: Path) -> int:
    """How many tasks an archive has; none where it is not made yet."""
    try:
        with MaskArchive.open(path) as archive:
            return len(archive)
    except (ArchiveError, FileNotFoundError):
        return 0


def main() -> None:
    """Compare two archives of 100 tasks."""
    with TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole.h5", Path(folder) / "killed.h5"
        train_killing(whole, COMMAND, kills=0, seed=0)
        done = train_killing(killed, COMMAND, kills=KILLS, seed=1)
        with MaskArchive.open(killed) as archive:
            damage = len(verify(archive, deep=True))
        same = sum(a == b for a, b in zip(digests(whole), digests(killed), strict=True))
    save_results(
        "kill_resume",
        {
            "training": " ".join(COMMAND),
            "kills": len(done),
            "tasks_after_each_kill": done,
            "tasks": TASKS,
            "identical_tasks": same,
            "damaged_tasks": damage,
        },
    )


if __name__ == "__main__":
    main()
