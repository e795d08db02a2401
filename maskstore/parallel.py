"""Work on several items at a time, on all cores, with the results in order; and matrix products
that leave the cores to it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Float32

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = os.cpu_count() or 1


def map_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work(item)`` for every item, in order; at most two a core are ahead of who asks.

    What an item's work raises is raised in its place; then no further work is begun.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


_ON_ONE_THREAD = 2**18
"""Multiplications up to which OpenBLAS keeps a product on the thread that asks for it."""


def product_here(
    a: Float32[np.ndarray, "m n"], b: Float32[np.ndarray, "n k"]
) -> Float32[np.ndarray, "m k"]:
    """``a @ b`` on this thread.

    Each core codes a mask of its own. Were a BLAS to put all of them on every such product, thin
    as it is, they would wait for each other most of the time: coding took five times the seconds.
    """
    rows = _ON_ONE_THREAD // max(1, b.size) or 1
    out = np.empty((len(a), b.shape[1]), np.float32)
    for start in range(0, len(a), rows):
        np.matmul(a[start : start + rows], b, out=out[start : start + rows])
    return out
