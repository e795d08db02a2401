"""How many tasks are trained at the same time, and in which form."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from maskstore.errors import InvalidInput
from supsup.backbone import Backbone
from supsup.config import TrainConfig
from supsup.engine.footprint import bytes_of
from supsup.protocols import TaskData

_SHARE_OF_MEMORY = 0.5
"""Of what is free; the rest is left to images, to what kernels work in, and to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Groups of ``rows`` tasks learn in step; ``lanes`` groups run at a time, in threads.

    A CPU is busy with one task a core: no core waits for another after each small matrix product,
    and what a task touches stays in the core's caches; more tasks at a time gain nothing
    (docs/results/batched_training.md). A GPU needs the work of many tasks in each of its kernels.

    Attributes:
        fixed: whether groups have as many rows where there are fewer tasks.
        threads: that a lane's kernels run on, on the CPU.
    """

    lanes: int = 1
    rows: int = 1
    fixed: bool = True
    threads: int = 1


def plan_for(
    backbone: Backbone, config: TrainConfig, task: TaskData, parallel: int | None = None
) -> Plan:
    """The plan for a backbone where it is.

    Args:
        task: one of those that will be trained, to measure what it takes.
        parallel: tasks at a time; None for as many as fit into half of the free memory, on the CPU
            at most one a core. One task alone gets all cores.

    Raises:
        InvalidInput: ``parallel`` is no whole number from 1.
    """
    if parallel is not None and (type(parallel) is not int or parallel < 1):
        raise InvalidInput(f"parallel: expected a whole number from 1, got {parallel!r}")
    cores = torch.get_num_threads()
    if backbone.device.type == "cpu":
        if parallel == 1:
            return Plan(threads=cores)
        return Plan(lanes=parallel or min(cores, _fitting(backbone, config, task)))
    rows = parallel or _fitting(backbone, config, task)
    return Plan(rows=rows, fixed=parallel is not None, threads=cores)


def _fitting(backbone: Backbone, config: TrainConfig, task: TaskData) -> int:
    room = _SHARE_OF_MEMORY * _free_bytes(backbone.device)
    return max(1, int(room // bytes_of(task, backbone, config)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        # Linux counts what it keeps of files as free here, as it gives that up when asked.
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except OSError:  # elsewhere nothing says what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
