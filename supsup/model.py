"""SupSup: the front door. One object for a network and the archive of its masks."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskstore.access import TaskTable
from maskstore.archive import MaskArchive, StoredTask
from maskstore.errors import InvalidInput
from maskstore.notebook import html_line
from supsup.archives.any_network import Network, backbone_for, new_backbone
from supsup.archives.classes import labels_of, note_of_chance
from supsup.archives.evaluation import evaluate_archive
from supsup.archives.inference import bank_of, infer_file
from supsup.archives.network import create_archive, parse_device
from supsup.archives.prediction import Predictions, module_of, predict_with
from supsup.archives.served import TaskWeights
from supsup.archives.tasks import recipe_of, remake
from supsup.choices import DEFAULT_NET
from supsup.errors import TrainingDiverged
from supsup.evaluation.score import EVAL_BATCH, Evaluation
from supsup.inference import Inference, MaskBank, infer_in
from supsup.inference.methods import Method
from supsup.inference.objectives import Objective
from supsup.networks.backbone import Backbone
from supsup.tasks import load_family, make_task
from supsup.tasks.batch import parse_inputs
from supsup.tasks.checked import check_tasks
from supsup.tasks.protocol import TaskData
from supsup.tasks.subset import named
from supsup.training.config import TrainConfig
from supsup.training.logs import Logs
from supsup.training.metadata import TaskMetadata
from supsup.training.trackers import Log, logs_of

Tasks = str | TaskData | Iterable[TaskData]


class SupSup:
    """Many tasks on one frozen network, a mask each, in one file (paper, section 3).

    Made by :meth:`create` and :meth:`open`; a context manager that closes its file. Everything that
    it does the layers below do, too: ``archive`` and ``backbone`` are theirs
    (:mod:`supsup.archives`).

    Attributes:
        archive: the masks.
        backbone: the network.

    >>> with SupSup.create("digits_of_two.h5", "lenet-300-100", outputs=2) as model:
    ...     (task,) = model.train("split-mnist-sample", count=1, steps=20, quiet=True)
    ...     accuracy = model.evaluate().accuracy
    >>> task.name, task.bits, accuracy > 0.9
    ('split-mnist/0', 265400, True)
    """

    def __init__(self, archive: MaskArchive, backbone: Backbone) -> None:
        """Put an open archive and its network together.

        Raises:
            DigestMismatch: the archive's masks are of other weights.
        """
        backbone.check_archive(archive)
        self.archive = archive
        self.backbone = backbone
        self._weights = TaskWeights(archive, backbone)
        self._bank: tuple[object, MaskBank] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, and those in other processes, read the file through an opening of their own."""
        return SupSup, (self.archive, self.backbone)

    @classmethod
    def create(
        cls,
        path: str | PathLike[str],
        network: Network = DEFAULT_NET,
        *,
        outputs: int | None = None,
        seed: int | None = None,
        statistics: str | None = None,
        embed_weights: bool = False,
        per_task: str | Sequence[str] = (),
        device: str | torch.device = "cpu",
        **options: Any,
    ) -> "SupSup":
        """A new archive for masks over a network.

        Args:
            network: the name of a net that ships here, or ``module:function``, whose code is then
                run; a recipe; a backbone, such as ``Backbone.pretrained(module)``; or any module,
                whose architecture it takes: its weights are drawn from the seed, and :meth:`open`
                is given such a module again.
            outputs: width of the last layer of a net that is named.
            seed: of the weights of a net that is named, or of a module; by default 0.
            statistics: of normalisation of a net that is named, or of a module, as
                :class:`supsup.BackboneRecipe` has it, also where it is None.
            embed_weights: whether weights that no seed gives back are put into the archive.
            per_task: patterns of the parameters that every task has of its own, such as
                ``("head.*", "*.bias")``, of a net that is named, or of a module.
            options: further ones of a net that is named, such as ``inputs=100``.

        Raises:
            InvalidInput: a network that cannot be made or run under masks, or an option that says
                what the network says already.
            ArchiveExists, ArchiveWriteError: as :meth:`MaskArchive.create`.
        """
        place = parse_device(str(device))
        backbone = new_backbone(
            network,
            outputs=outputs,
            seed=seed,
            options=options,
            statistics=statistics,
            per_task=per_task,
        )
        return cls(create_archive(path, backbone, embed=embed_weights), backbone.to(place))

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        network: Network | None = None,
        *,
        mode: str = "r",
        device: str | torch.device = "cpu",
    ) -> "SupSup":
        """An archive that is there, with its network, which comes back from the seed.

        Args:
            network: None for the archive's own, as far as its code is known here. The
                ``module:function`` that it names is run only where it is named here again; a module
                that was handed in is handed in again. Layout and digest decide whether it is the
                right one.
            mode: ``r`` to read, ``a`` to train more tasks.

        Raises:
            InvalidInput: the archive's network cannot be made, or must be named or handed in.
            LayoutMismatch, DigestMismatch: the masks are of another network.
            ArchiveError: as :meth:`MaskArchive.open`.
        """
        place = parse_device(str(device))
        archive = MaskArchive.open(path if isinstance(path, str) else Path(path), mode)
        try:
            backbone = backbone_for(archive, network)
            return cls(archive, backbone.to(place))
        except BaseException:
            archive.close()
            raise

    def train(
        self,
        tasks: Tasks,
        config: TrainConfig | None = None,
        *,
        count: int | None = None,
        resume: bool = False,
        data: str | PathLike[str] | None = None,
        ways: int | None = None,
        size: int | None = None,
        name: str | None = None,
        outliers_from: str | PathLike[str] | None = None,
        parallel: int | None = None,
        codec: str = "auto",
        log: Log | None = None,
        quiet: bool = False,
        **settings: Any,
    ) -> list[StoredTask]:
        """Train a mask for each task and store it as soon as it is done.

        Args:
            tasks: one or many, or the name of a family, such as ``split-mnist-sample``.
            config: how; None for :class:`TrainConfig` of ``settings``, 1000 steps with the
                network's seed unless they say otherwise.
            count: tasks of a family, the first ones; None for all that there are.
            resume: skip the tasks whose data a mask was trained on already, in the same way.
            data: folder of a family's data files; of ``split-folder`` and the like the folder, .zip
                or .npz of the images (:func:`supsup.datasets.read_own`).
            ways: classes in a task of a family that splits a data set; None for the family's own.
            size: height and width that pictures of one's own are scaled to.
            name: tasks of a family are called ``name/0``, ``name/1``, …; None for its own names.
            outliers_from: archive whose prototypes gaussian outliers are drawn from; None for this.
            parallel, codec: as in :func:`supsup.train` and :meth:`MaskArchive.add`.
            log: where figures go beside the archive: ``csv:FILE``, ``tensorboard:DIR``,
                ``wandb:PROJECT``, ``mlflow:EXPERIMENT``, a
                :class:`supsup.training.logs.TrainingLog` of one's own, or several.
            quiet: nothing on stderr: no progress bar, and no line that names tasks at chance.

        Returns:
            What was stored, in the order of the tasks.

        Raises:
            TrainingDiverged: a loss is not finite; the tasks before it are stored, as after
                Ctrl-C.
            TaskExists: there is a mask of a task's name.
            ArchiveClosed: the archive was opened to read.
            InvalidInput: settings, tasks or data that cannot be used.
        """
        # What trains is a tenth of what this package loads, and rich comes with the bars.
        from supsup.archives.training import iter_train_into
        from supsup.training.bar import TrainingBar, plain_bar

        self.archive.store.require_writable()
        config = self._config(config, settings)
        todo = self._tasks(tasks, config, data, count=count, ways=ways, size=size, name=name)
        stored: list[StoredTask] = []
        total = len(todo) if isinstance(todo, Sequence) else None
        with ExitStack() as stack:
            logs = stack.enter_context(logs_of(log))
            bar = stack.enter_context(TrainingBar(total, plain_bar(quiet=quiet)))
            told = Logs([*logs, bar])
            source = None
            if outliers_from is not None:
                source = stack.enter_context(MaskArchive.open(Path(outliers_from)))
            try:
                for each in iter_train_into(
                    self.archive,
                    self.backbone,
                    todo,
                    config,
                    codec=codec,
                    parallel=parallel,
                    progress=told.progress,
                    resume=resume,
                    outliers_from=source,
                ):
                    told.trained(each.name, TaskMetadata.of(each).metrics)
                    stored.append(each)
            except TrainingDiverged as failure:
                told.diverged(failure)
                raise
        if (note := note_of_chance(stored)) and not quiet:
            print(note, file=sys.stderr)
        return stored

    def evaluate(
        self,
        tasks: TaskData | Iterable[TaskData] | None = None,
        scenario: str = "GG",
        *,
        method: str | Method = "auto",
        objective: str | Objective = "auto",
        mode: str = "image",
        batch: int = EVAL_BATCH,
        data: str | PathLike[str] | None = None,
        force: bool = False,
    ) -> Evaluation:
        """Accuracy on test sets: of all tasks whose data can be had again, or of those given.

        Arguments and errors are those of :func:`supsup.archives.evaluate_archive`.
        """
        return evaluate_archive(
            self.archive,
            self.backbone,
            scenario=scenario,
            tasks=None if tasks is None else check_tasks(tasks),
            force=force,
            method=method,
            objective=objective,
            mode=mode,
            batch=batch,
            data_dir=data,
        )

    def infer(
        self,
        images: Any,
        *,
        method: str | Method = "auto",
        objective: str | Objective = "auto",
        mode: str = "image",
    ) -> Inference:
        """Find the task of unlabelled images, and their classes, by name where they have names.

        Args:
            images: as the tasks were trained on, normalised alike; or the path of a file, or a
                folder of pictures, which are normalised as in training.
            method, objective, mode: as in :func:`supsup.inference.find_task.infer`.

        Raises:
            InvalidInput: no masks that can be used, data that the network does not take, a setting.
        """
        if isinstance(images, str | PathLike):
            return infer_file(
                self.archive,
                self.backbone,
                Path(images),
                method=method,
                objective=objective,
                mode=mode,
            )
        x = parse_inputs(images, "data")
        found = infer_in(self._masks(), x, method=method, objective=objective, mode=mode)
        labels = labels_of(self.archive, found.names, found.predictions.tolist())
        return replace(found, labels=labels)

    def predict(self, images: Any, tasks: str | Sequence[str]) -> Predictions:
        """The classes of images whose tasks are known: one name for all, or one for each.

        Masks and weights of tasks that are asked for again are kept within bounds
        (:class:`supsup.archives.served.TaskWeights`). Arguments and errors are those of
        :func:`supsup.archives.prediction.predict_with`.
        """
        return predict_with(self.archive, self.backbone, images, tasks, weights=self._weights)

    def module(self, task: str) -> nn.Module:
        """A task as an ordinary module that holds W ⊙ M and gives the masked network's logits.

        It is in evaluation mode, in which it refuses one image alone where the network takes
        statistics of the batch (docs/statistics.md).

        Raises:
            TaskNotFound: there is no such task.
        """
        return module_of(self.archive, self.backbone, task)

    def data(self, task: str, folder: str | PathLike[str] | None = None) -> TaskData:
        """The data of a task, remade from the recipe that is kept with its mask.

        Args:
            folder: of the data files.

        Raises:
            TaskNotFound: there is no such task.
            InvalidInput: it has no recipe, or its data set is not at hand.
        """
        (made,) = remake([recipe_of(self.archive, self.archive.task(task))], folder)
        return named(made, task)

    def report(self, path: str | PathLike[str], *, overwrite: bool = False) -> int:
        """Write the archive as one page of HTML; returns its bytes.

        Raises:
            InvalidInput, ArchiveError: as :func:`supsup.report.write_report`, which also takes an
                accuracy matrix and a Hopfield memory.
        """
        from supsup.report import write_report  # matplotlib, too

        return write_report(self.archive, Path(path), overwrite=overwrite)

    @property
    def tasks(self) -> TaskTable:
        """Name → what the archive knows of the task, in order of arrival."""
        return self.archive.tasks

    def close(self) -> None:
        """Close the file; further calls change nothing."""
        self.archive.close()

    def __enter__(self) -> "SupSup":
        """The object itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        try:
            size = f"{len(self.archive)} tasks in {self.archive.file_bytes:,} bytes"
        except Exception:  # a repr is no place to fail: the file is closed, or gone
            size = "closed"
        return f"SupSup({str(self.archive.path)!r}: {size}, over {self.backbone.name})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the line of ``repr``, and the first tasks."""
        line = html_line(repr(self))
        return line if self.archive.closed or not self.tasks else line + self.tasks._repr_html_()

    def _config(self, config: TrainConfig | None, settings: Mapping[str, Any]) -> TrainConfig:
        if config is not None:
            if settings:
                raise InvalidInput(
                    f"training: got a config and {next(iter(settings))}=…; put it into the config"
                )
            return config
        given = dict(settings)
        unknown = given.keys() - set(TrainConfig.__dataclass_fields__)
        if unknown:
            known = ", ".join(TrainConfig.__dataclass_fields__)
            raise InvalidInput(f"training: no setting {min(unknown)!r}; there are {known}")
        if given.get("epochs") is None:
            given.setdefault("steps", 1000)
        made_of = self.backbone.recipe or self.backbone.drawn
        return TrainConfig(**{"seed": made_of.seed if made_of else 0} | given)

    def _tasks(
        self,
        tasks: Tasks,
        config: TrainConfig,
        data: str | PathLike[str] | None,
        *,
        count: int | None,
        ways: int | None,
        size: int | None,
        name: str | None,
    ) -> Iterable[TaskData]:
        if isinstance(tasks, str):
            recipes, images = load_family(
                tasks,
                count,
                seed=config.seed,
                options={} if ways is None else {"ways": ways},
                prefix=name,
                data=data,
                size=size,
            )
            images = images.to(self.backbone.device)
            return [make_task(recipe, images) for recipe in recipes]
        of_family = {"count": count, "ways": ways, "size": size, "name": name}
        if given := [each for each, value in of_family.items() if value is not None]:
            raise InvalidInput(
                f"{given[0]}: of a family that is named; these tasks are as they are"
            )
        return check_tasks(tasks)

    def _masks(self) -> MaskBank:
        """The masks for inference, read anew where the archive has changed."""
        now = self.archive.state
        if self._bank is None or self._bank[0] is not now:
            self._bank = now, bank_of(self.archive, self.backbone)
        return self._bank[1]
