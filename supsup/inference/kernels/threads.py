"""Kernels on several threads. They release the GIL, so Python's own threads will do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def split(work: Callable[[int, int], object], count: int, *, multiple: int = 1) -> None:
    """Call ``work(start, stop)`` for consecutive parts of ``range(count)``, one part a thread.

    As many threads as torch may use (``torch.set_num_threads``), so that one setting holds for all.

    Args:
        multiple: every part but the last starts and stops at a multiple of it.
    """
    threads = torch.get_num_threads()
    part = -(-count // (threads * multiple)) * multiple
    if part >= count:
        work(0, count)
        return
    starts = range(0, count, part)
    with ThreadPoolExecutor(len(starts)) as pool:
        for _ in pool.map(lambda start: work(start, min(start + part, count)), starts):
            pass  # re-raises what a part raised
