"""RayEngine: a cluster as the one who trains into an archive; and engines by name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import get_args

import torch

from maskstore.registry import check_one_of
from supsup.archives.engine import Engine, LocalEngine, TrainInto
from supsup.choices import EngineName
from supsup.cluster.ray_cluster import RayCluster
from supsup.datasets import load
from supsup.tasks import TaskRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine(Engine):
    """The machines of a Ray cluster, which have the data and the devices; this one needs neither.

    Attributes:
        address, device, data_dir: see :class:`RayCluster`.
    """

    address: str = "auto"
    device: str = "cpu"
    data_dir: Path | None = None

    @property
    def place(self) -> torch.device:
        return torch.device("cpu")

    @contextmanager
    def begin(self, recipes: Sequence[TaskRecipe]) -> Iterator[TrainInto]:
        with RayCluster(self.address, device=self.device, data_dir=self.data_dir) as cluster:
            yield cluster.iter_train_into


def parse_engine(
    name: str,
    *,
    address: str | None = None,
    device: str = "cpu",
    data_dir: str | PathLike[str] | None = None,
    quiet: bool = False,
) -> Engine:
    """The engine of a name.

    Args:
        address: of ``ray``; None for the cluster that runs here.
        quiet: whether ``local`` downloads data without a bar.

    Raises:
        InvalidInput: an unknown name, or no such device here.
    """
    data_dir = None if data_dir is None else Path(data_dir)
    check_one_of("engine", name, get_args(EngineName))
    if name == "ray":
        return RayEngine(address=address or "auto", device=device, data_dir=data_dir)
    return LocalEngine(device=device, dataset_of=partial(load, data_dir=data_dir, quiet=quiet))
