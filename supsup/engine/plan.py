"""How many tasks are trained at the same time, and in which form."""

import os
from dataclasses import dataclass

import torch

from maskstore.errors import InvalidInput
from supsup.backbone import Backbone
from supsup.engine.buffers import BYTES_A_WEIGHT

_SHARE_OF_MEMORY = 0.5
"""Of what is free; the rest is left to images, activations, and others."""


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


def plan_for(backbone: Backbone, parallel: int | None = None) -> Plan:
    """The plan for a backbone where it is.

    Args:
        parallel: tasks at a time; None for one a core on the CPU, elsewhere for as many as fit
            into half of the free memory. One task alone gets all cores.

    Raises:
        InvalidInput: ``parallel`` is no whole number from 1.
    """
    if parallel is not None and (type(parallel) is not int or parallel < 1):
        raise InvalidInput(f"parallel: expected a whole number from 1, got {parallel!r}")
    cores = torch.get_num_threads()
    if backbone.device.type == "cpu":
        if parallel == 1:
            return Plan(threads=cores)
        return Plan(lanes=parallel or min(cores, _fitting(backbone)))
    rows = parallel or _fitting(backbone)
    return Plan(rows=rows, fixed=parallel is not None, threads=cores)


def _fitting(backbone: Backbone) -> int:
    room = _SHARE_OF_MEMORY * _free_bytes(backbone.device)
    return max(1, int(room // (BYTES_A_WEIGHT * backbone.layout.bits)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # Some systems do not say what is free.
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
