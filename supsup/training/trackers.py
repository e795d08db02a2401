"""Trackers of experiments that a training can report to, and logs by one text each.

Weights & Biases and MLflow are thin: each is an extra, imported only when it is asked for.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, get_args

from maskstore.errors import InvalidInput
from maskstore.registry import check_one_of
from supsup.choices import LogName
from supsup.errors import TrainingDiverged
from supsup.training.logs import CsvLog, TensorBoardLog, TrainingLog
from supsup.training.progress import Progress

Log = str | TrainingLog | Sequence[str | TrainingLog]
"""Where figures go: ``csv:FILE``, ``tensorboard:DIR``, ``wandb:PROJECT``, ``mlflow:EXPERIMENT``, a
log that somebody made, or several of these."""


class WandbLog(TrainingLog):
    """A run of Weights & Biases: ``loss/TASK`` over ``step``, ``task/accuracy`` and the other
    metrics over ``task/index``."""

    def __init__(self, project: str) -> None:
        """Begin a run; its mode and account are what ``wandb`` finds (``WANDB_MODE=offline``).

        Raises:
            InvalidInput: wandb is not installed, or refuses.
        """
        wandb = _import("wandb")
        self._run = _begun("wandb", lambda: wandb.init(project=project))
        # Tasks train side by side, so that the run's own step, which only grows, is none of theirs.
        self._run.define_metric("loss/*", step_metric="step")
        self._run.define_metric("task/*", step_metric="task/index")
        self._tasks = 0

    def progress(self, progress: Progress) -> None:
        self._run.log({f"loss/{progress.name}": progress.loss, "step": progress.step})

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        figures = {f"task/{metric}": value for metric, value in metrics.items()}
        self._run.log({**figures, "task/index": self._tasks})
        self._tasks += 1

    def diverged(self, failure: TrainingDiverged) -> None:
        self._run.summary[f"diverged/{failure.task}"] = str(failure)

    def close(self) -> None:
        self._run.finish()


class MlflowLog(TrainingLog):
    """A run of MLflow: ``loss/TASK`` over steps, ``task/accuracy`` and the other metrics over
    tasks."""

    def __init__(self, experiment: str) -> None:
        """Begin a run, where ``MLFLOW_TRACKING_URI`` says.

        Raises:
            InvalidInput: MLflow is not installed, or refuses.
        """
        self._mlflow = _import("mlflow")
        _begun("mlflow", lambda: self._mlflow.set_experiment(experiment))
        _begun("mlflow", self._mlflow.start_run)
        self._tasks = 0

    def progress(self, progress: Progress) -> None:
        self._mlflow.log_metric(_key(f"loss/{progress.name}"), progress.loss, step=progress.step)

    def trained(self, name: str, metrics: Mapping[str, float]) -> None:
        for metric, value in metrics.items():
            self._mlflow.log_metric(f"task/{metric}", value, step=self._tasks)
        self._tasks += 1

    def diverged(self, failure: TrainingDiverged) -> None:
        self._mlflow.set_tag(_key(f"diverged/{failure.task}"), str(failure))

    def close(self) -> None:
        self._mlflow.end_run()


LOGS: dict[str, Callable[[str], TrainingLog]] = {
    "csv": CsvLog,
    "tensorboard": TensorBoardLog,
    "wandb": WandbLog,
    "mlflow": MlflowLog,
}


def parse_log(text: str) -> tuple[str, str]:
    """``KIND:PLACE`` as a pair; nothing is opened.

    Raises:
        InvalidInput: no such kind, or no place.

    >>> parse_log("csv:run.csv")
    ('csv', 'run.csv')
    """
    kind, _, place = text.partition(":")
    check_one_of("log", kind, get_args(LogName))
    if not place:
        raise InvalidInput(f"log {text!r}: expected {kind}:PLACE, such as csv:run.csv")
    return kind, place


@contextmanager
def logs_of(log: Log | None) -> Iterator[list[TrainingLog]]:
    """The logs that are meant. Those that a text names are made, and closed in the end.

    Raises:
        InvalidInput: a kind that there is not, one that is not installed, or cannot be written to.
    """
    several = [] if log is None else [log] if isinstance(log, str | TrainingLog) else list(log)
    places = [parse_log(each) if isinstance(each, str) else each for each in several]
    for each in places:
        if not isinstance(each, tuple | TrainingLog):
            raise InvalidInput(f"log: expected text such as csv:run.csv, got {each!r:.80}")
    with ExitStack() as stack:
        yield [
            stack.enter_context(LOGS[each[0]](each[1])) if isinstance(each, tuple) else each
            for each in places
        ]


def _import(module: str) -> Any:
    """An extra by its name, which is that of its module."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidInput(
            f"{module} is not installed: pip install 'supsup-store[{module}]'"
        ) from error


def _begun(what: str, begin: Callable[[], Any]) -> Any:
    try:
        return begin()
    except Exception as error:  # theirs have no root of their own in every release
        said = " ".join(str(error).split())
        raise InvalidInput(f"{what} cannot begin a run: {said:.200}") from error


def _key(name: str) -> str:
    """A name as MLflow takes it, whatever a task is called."""
    return re.sub(r"[^\w./ -]", "_", name)
