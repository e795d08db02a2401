"""How many tasks are trained at the same time, in which form and precision, by what they take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.tasks.arrays import Inputs
from supsup.tasks.batch import map_inputs
from supsup.tasks.checked import test_batches
from supsup.tasks.protocol import TaskData
from supsup.training.config import TrainConfig

BYTES_A_WEIGHT = 28
"""Scores, effective weights, their gradient as autograd gives it and as it is kept, the pull on the
scores, and two moments, all float32. Most optimizers keep one."""


def bytes_of(task: TaskData, backbone: Backbone, config: TrainConfig) -> int:
    """What training ``task`` takes beside the backbone and the task's images.

    One of the test images is looked at, as the training ones may come only in order; where there
    is none, training will say so.
    """
    each = 0
    for x, _ in test_batches(task, 1, finite=False):
        one = map_inputs(lambda part: part[:1].to(backbone.device), x)
        each = activation_bytes(backbone, one, config.precision)
        break
    images = config.batch + config.outliers_a_batch
    own = sum(tensor.numel() for tensor in backbone.own_parameters.values())
    return BYTES_A_WEIGHT * (backbone.layout.bits + own) + images * each


@plain_modes()
def activation_bytes(backbone: Backbone, x: Inputs, precision: str) -> int:
    """What the backward pass of any module keeps of each image: measured, not modelled.

    All that autograd saves in a forward pass grows with the images, but for the weights; so two
    passes tell it, over two images and over four (batch statistics need more than one).
    """

    def repeated(n: int) -> Inputs:
        return map_inputs(lambda each: each.expand(n, *each.shape[1:]).contiguous(), x)

    few, more = (_saved_bytes(backbone.replica(), repeated(n), precision) for n in (2, 4))
    return (more - few) // 2


def _saved_bytes(backbone: Backbone, x: Inputs, precision: str) -> int:
    storages: dict[int, torch.UntypedStorage] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage  # views of one are kept once
        return tensor

    leaves = {name: w.detach().requires_grad_() for name, w in backbone.weights.items()}
    low = precision == "bfloat16"
    with (
        torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor),
        torch.autocast(backbone.device.type, torch.bfloat16) if low else nullcontext(),
    ):
        logits = backbone.run(x, leaves, training=True)
    del logits
    return sum(storage.nbytes() for storage in storages.values())


_SHARE_OF_MEMORY = 0.5
"""Of what is free; the rest is left to images, to what kernels work in, and to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Groups of ``rows`` tasks learn in step; ``workers`` groups run at a time, in threads.

    A CPU is busy with one task a core: no core waits for another after each small matrix product,
    and what a task touches stays in the core's caches; more tasks at a time gain nothing
    (docs/results/batched_training.md). A GPU needs the work of many tasks in each of its kernels.

    Attributes:
        fixed: whether groups have as many rows where there are fewer tasks.
        threads: that a worker's kernels run on, on the CPU.
    """

    workers: int = 1
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
    if parallel is not None:
        parallel = parse_whole("parallel", parallel)
    cores = torch.get_num_threads()
    if backbone.probed is not None and backbone.probed.draws:
        return Plan(threads=cores)  # the generators that it draws from are one for all threads
    if backbone.device.type == "cpu":
        if parallel == 1:
            return Plan(threads=cores)
        return Plan(workers=parallel or min(cores, _fitting(backbone, config, task)))
    rows = parallel or _fitting(backbone, config, task)
    return Plan(rows=rows, fixed=parallel is not None, threads=cores)


def _fitting(backbone: Backbone, config: TrainConfig, task: TaskData) -> int:
    capacity = _SHARE_OF_MEMORY * _free_bytes(backbone.device)
    return max(1, int(capacity // bytes_of(task, backbone, config)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        # Linux counts what it keeps of files as free here, as it gives that up when asked.
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except OSError:  # elsewhere nothing says what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def precision_on(device: torch.device, precision: str) -> Iterator[None]:
    """Matrix products of float32 as they are, or as TF32 (10 bits of mantissa) if asked for.

    Convolutions on CUDA follow PyTorch's ``torch.backends.cudnn``, which allows TF32 by default.

    Raises:
        InvalidInput: TF32 on a device that has none.
    """
    if precision != "tf32":
        yield
        return
    if device.type != "cuda":
        raise InvalidInput(f"precision tf32 is for CUDA devices, not {device}; take bfloat16")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
