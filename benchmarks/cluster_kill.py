"""A Ray cluster that loses a machine while it trains: the masks against those of one machine."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.kill_resume import digests, stored
from benchmarks.processes import start_command
from benchmarks.results import save_results
from maskstore import MaskArchive, verify

TASKS = 20
COMMAND = (
    *("--dataset", "permuted-mnist-sample", "--tasks", str(TASKS), "--steps", "200"),
    *("--outputs", "10", "--codec", "fast"),
)
_MACHINE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@contextmanager
def small_cluster() -> Iterator[Any]:
    """A ``ray.cluster_utils.Cluster`` of one machine with one CPU; its processes are all here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {
        **_MACHINE,
        "include_dashboard": False,
        "_system_config": {"health_check_period_ms": 500},  # instead of 3 s: a death is seen sooner
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def start_training(
    path: Path, command: Sequence[str], cluster: Any, **options: Any
) -> "subprocess.Popen[str]":
    """``supsup-store train`` on a cluster, in a process of its own."""
    on_ray = ("--engine", "ray", "--address", cluster.address, "--quiet")
    return start_command("train", path, *command, *on_ray, text=True, **options)


def wait_for(process: "subprocess.Popen[str]", path: Path, tasks: int) -> int:
    """Wait until the archive has so many tasks, or the process ended; gives how many it has."""
    while process.poll() is None and stored(path) < tasks:
        time.sleep(0.02)
    return stored(path)


def is_training(machine: Any) -> bool:
    """Whether a worker of that machine is at a group of tasks: Ray names its process so. Linux."""
    parents = {each.process.pid for each in machine.all_processes["raylet"]}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        if parent in parents and name.startswith(b"ray::train_recipes"):
            return True
    return False


def train_losing_a_machine(path: Path, command: Sequence[str], cluster: Any, after: int) -> int:
    """Train with a second machine, killed with SIGKILL at its work on a task, once ``after`` tasks
    are in the archive.

    Returns:
        How many were there then.
    """
    second = cluster.add_node(**_MACHINE)
    process = start_training(path, command, cluster, stdout=subprocess.DEVNULL)
    wait_for(process, path, after)
    while not is_training(second):
        if process.poll() is not None:
            raise SystemExit("the training ended before the second machine had a part in it")
        time.sleep(0.005)
    cluster.remove_node(second, allow_graceful=False)
    done = stored(path)
    if process.wait():
        raise SystemExit(f"training failed: {' '.join(command)}")
    return done


def main() -> None:
    """Compare two archives of 20 tasks."""
    with TemporaryDirectory() as folder:
        alone, cluster_made = Path(folder) / "alone.h5", Path(folder) / "cluster.h5"
        with small_cluster() as cluster:
            done = train_losing_a_machine(cluster_made, COMMAND, cluster, after=TASKS // 4)
        if start_command("train", alone, *COMMAND, "--quiet", stdout=subprocess.DEVNULL).wait():
            raise SystemExit("training failed")
        with MaskArchive.open(cluster_made) as archive:
            damage = len(verify(archive, deep=True))
        same = sum(a == b for a, b in zip(digests(alone), digests(cluster_made), strict=True))
    save_results(
        "cluster_kill",
        {
            "training": " ".join(COMMAND),
            "machines": 2,
            "tasks": TASKS,
            "tasks_when_one_was_killed": done,
            "identical_tasks": same,
            "damaged_tasks": damage,
        },
    )


if __name__ == "__main__":
    main()
