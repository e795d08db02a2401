"""RayCluster: training handed to a Ray cluster, its results in the order of the tasks."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput, SupsupError
from maskstore.packed import StoredTask
from supsup.archives.storing import append
from supsup.archives.training import tasks_in_step
from supsup.cluster.connect import connected
from supsup.cluster.work import Work, rows_that_fit, train_recipes
from supsup.errors import ClusterFailed, TrainingDiverged
from supsup.networks.backbone import Backbone
from supsup.tasks import TaskRecipe
from supsup.training.as_iterated import as_iterated
from supsup.training.config import TrainConfig
from supsup.training.outcome import Outcome, TrainedMask, trained_masks
from supsup.training.progress import Progress

DEVICES = ("cpu", "cuda")

_RETRIES = 5
"""Lost workers that a group of tasks survives. More is its own doing rather than bad luck."""

_LOOK_UP = 0.1
"""Seconds after which who waits for a group may store what was coded meanwhile."""

_AHEAD = 2
"""Groups under way for each CPU or GPU, so that none waits while the first one is late."""


class RayCluster:
    """Trains as :func:`supsup.train` does, wherever a Ray cluster has room; a context manager.

    Every CPU trains one task at a time, or every GPU a group of tasks. Masks, metadata and order
    are those of a training on one machine. All machines need the same releases of this package and
    of PyTorch, and the data files; only recipes and masks travel. A group whose worker or machine
    dies is begun again elsewhere; an error of the training itself is not tried twice.
    """

    def __init__(
        self,
        address: str = "auto",
        *,
        device: str = "cpu",
        data_dir: str | PathLike[str] | None = None,
    ) -> None:
        """Join a cluster.

        Args:
            address: HOST:PORT of the head of a cluster that this machine belongs to; ``auto`` for
                the one that ``RAY_ADDRESS`` names or that runs here; ``local`` for one of this
                machine alone that ends with the context.
            device: ``cpu`` or ``cuda``; that of the workers.
            data_dir: folder of the data files, on every machine; see :func:`supsup.datasets.load`.

        Raises:
            InvalidInput: Ray is not installed, no cluster answers, or it has no such device.
        """
        if device not in DEVICES:
            raise InvalidInput(f"device: on a cluster {' or '.join(DEVICES)}, got {device!r}")
        self._device = device
        self._data_dir = None if data_dir is None else Path(data_dir).absolute()
        self._open = ExitStack()
        self._ray: Any = self._open.enter_context(connected(address))
        if not self._places():
            self.close()
            raise InvalidInput(
                f"Ray cluster {address!r}: has no {self._resource}, which device {device!r} needs"
            )

    def train(
        self,
        backbone: Backbone,
        recipes: Sequence[TaskRecipe],
        config: TrainConfig,
        *,
        parallel: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        diverged: Callable[[TrainingDiverged], None] | None = None,
    ) -> Iterator[TrainedMask]:
        """Train a mask for each task and give them in order; each once those before it are there.

        Args:
            backbone: on any device; it is regenerated from its recipe, and trained weights, from a
                file or from inside the archive, are sent along.
            recipes: of the tasks. Tasks without one cannot be remade elsewhere.
            parallel: on GPUs, tasks in each step of one; None for as many as fit and keep all busy.
            progress: called at each task's end.
            diverged: told of each task that has no mask; the others go on.

        Raises:
            InvalidInput: the backbone has no recipe, ``config`` transfers from task to task, or
                ``parallel`` is given on CPUs; or what :func:`supsup.train` raises.
            TrainingDiverged: no ``diverged`` is given, when the turn of such a task comes.
            ClusterFailed: the workers of a task die again and again.
        """
        given = self._outcomes(backbone, recipes, config, parallel=parallel, progress=progress)
        return trained_masks(given, diverged)

    def _outcomes(
        self,
        backbone: Backbone,
        recipes: Sequence[TaskRecipe],
        config: TrainConfig,
        *,
        parallel: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> Generator[Outcome | None, None, None]:
        """What :meth:`train` makes its masks of; None every now and then while it waits."""
        if backbone.recipe is None:
            raise InvalidInput(
                "a cluster regenerates the backbone; make it with supsup.build(recipe), where the "
                "recipe's net may be your own module:function"
            )
        if config.transfer != "none":
            raise InvalidInput(
                f"transfer {config.transfer}: each task waits for those before it; "
                "train on one machine (--engine local)"
            )
        if parallel is not None and self._device == "cpu":
            raise InvalidInput(
                f"parallel: every CPU of a cluster trains one task, got {parallel}; leave it out"
            )
        work = Work(
            backbone=backbone.recipe,
            weights_digest=backbone.digest,
            config=config,
            device=self._device,
            data_dir=self._data_dir,
        )
        # Kept by the cluster: each machine fetches it once, however many groups it trains.
        values = self._ray.put(backbone.trained_values()) if backbone.trained else None
        for outcome in self._of_groups(work, recipes, parallel, values):
            if isinstance(outcome, TrainedMask) and progress is not None:
                steps, loss = int(outcome.metrics["steps"]), outcome.metrics["loss"]
                progress(Progress(name=outcome.name, step=steps, steps=steps, loss=loss))
            yield outcome

    @as_iterated("take list(…) of it")
    def iter_train_into(
        self,
        archive: MaskArchive,
        backbone: Backbone,
        recipes: Sequence[TaskRecipe],
        config: TrainConfig,
        *,
        codec: str = "auto",
        parallel: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        diverged: Callable[[TrainingDiverged], None] | None = None,
    ) -> Generator[StoredTask, None, None]:
        """As :func:`supsup.archives.iter_train_into`: this process alone writes the archive.

        Raises:
            ClusterFailed, TrainingDiverged, TaskExists, ArchiveWriteError: the tasks yielded so far
                are kept.
        """
        if parallel is None and self._device != "cpu":
            parallel = tasks_in_step(archive)
        given = self._outcomes(backbone, recipes, config, parallel=parallel, progress=progress)
        yield from append(archive, given, codec=codec, diverged=diverged)

    def close(self) -> None:
        """Leave the cluster; what it still trains for us ends."""
        self._open.close()

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _resource(self) -> str:
        return "CPU" if self._device == "cpu" else "GPU"

    def _places(self) -> int:
        """CPUs or GPUs of the machines that are there at the moment."""
        return int(self._ray.cluster_resources().get(self._resource, 0))

    def _remote(self, function: Callable[..., Any]) -> Any:
        gpus = 0 if self._device == "cpu" else 1
        # Ray counts only lost workers as failures to retry, unless it is told otherwise.
        return self._ray.remote(function).options(
            num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, retry_exceptions=False
        )

    def _of_groups(
        self, work: Work, recipes: Sequence[TaskRecipe], rows: int | None, values: Any
    ) -> Iterator[Outcome | None]:
        """The outcomes in order, a bounded number of groups under way.

        Args:
            values: reference to the trained weights; None where there are none.
        """
        if rows is None and self._device != "cpu" and recipes:
            measured = self._remote(rows_that_fit).remote(work, recipes[0], values)
            fitting = self._result(measured, recipes[:1])
            rows = min(fitting, -(-len(recipes) // max(1, self._places())))
        size = rows or 1
        groups = iter([recipes[at : at + size] for at in range(0, len(recipes), size)])
        train, begun = self._remote(train_recipes), deque[tuple[Any, Sequence[TaskRecipe]]]()
        while True:
            most = _AHEAD * max(1, self._places())
            while len(begun) < most and (group := next(groups, None)):
                begun.append((train.remote(work, group, rows, values), group))
            if not begun:
                return
            while not self._ray.wait([begun[0][0]], timeout=_LOOK_UP)[0]:
                yield None
            yield from self._result(*begun.popleft())

    def _result(self, result: Any, group: Sequence[TaskRecipe]) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(result)
        except errors.RayTaskError as error:
            if isinstance(error.cause, SupsupError):
                raise error.cause from None  # as if it were raised here: one line
            raise
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise ClusterFailed(
                f"task {group[0].name!r}: its workers died {_RETRIES + 1} times ({reason}); "
                "see whether they have memory enough, and go on with --resume"
            ) from error
