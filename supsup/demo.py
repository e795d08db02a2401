"""The main job end to end on the digits that come with the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskstore import verify
from maskstore.archive import MaskArchive
from maskstore.stats import ArchiveStats, archive_stats
from supsup.archives import backbone_of, evaluate_archive, make_folder, train_missing
from supsup.evaluation.score import Evaluation
from supsup.networks.recipe import BackboneRecipe
from supsup.plots import plot_report
from supsup.recovery.compare import recover_all
from supsup.recovery.encode import encode_archive
from supsup.tasks import task_family
from supsup.training.config import TrainConfig
from supsup.training.loop import Progress

# Ten outputs for two classes: the superfluous ones are what task inference looks at.
DEMO_RECIPE = BackboneRecipe(net="lenet-300-100", outputs=10, seed=0)
DEMO_CONFIG = TrainConfig(epochs=4, seed=0)
# Masks on units, not on weights: a memory holds the square of a mask's length (appendix D).
UNITS_RECIPE = BackboneRecipe(net="bn-2048", outputs=10, seed=0)
UNITS_CONFIG = TrainConfig(epochs=1, seed=0)
DEMO_FAMILY = "split-mnist-sample"
DEMO_TASKS = len(task_family(DEMO_FAMILY))
DEMO_TRAININGS = 2 * DEMO_TASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRecovery:
    """Masks on units, written into a Hopfield memory and recovered from it.

    Attributes:
        archive: of those masks, to compare with.
        memory: the file that they were recovered from.
        units: bits of a mask.
        tasks: masks in the memory.
        exact: those that came back bit for bit, from unlabelled images.
        memory_bytes: of the memory's file.
    """

    archive: Path
    memory: Path
    net: str
    units: int
    tasks: int
    exact: int
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The part ``recovered`` of :meth:`DemoReport.to_json`."""
        return {
            "archive": str(self.archive),
            "memory": str(self.memory),
            "net": self.net,
            "units": self.units,
            "tasks": self.tasks,
            "exact": self.exact,
            "memory_bytes": self.memory_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo made and measured."""

    archive: Path
    plot: Path
    net: str
    trained: int
    weights_digest: str
    damage: int
    evaluation: Evaluation
    stats: ArchiveStats
    recovery: DemoRecovery

    def to_json(self) -> dict[str, Any]:
        """The document of ``demo --json``."""
        return {
            "archive": str(self.archive),
            "plot": str(self.plot),
            "net": self.net,
            "trained": self.trained,
            "weights_digest": self.weights_digest,
            "damage": self.damage,
            "eval": self.evaluation.to_json(),
            "stats": self.stats.to_json(),
            "recovered": self.recovery.to_json(),
        }


def run_demo(
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> DemoReport:
    """Train SplitMNIST on the embedded sample, append every mask, read them back, evaluate, draw;
    then masks on units of the same tasks, recovered from a Hopfield memory.

    What is in ``folder`` from an earlier run is used, not trained again.

    Raises:
        ArchiveWriteError: the folder cannot be made or written to.
        LayoutMismatch, InvalidInput: the folder holds another archive of that name.
    """
    path, plot = folder / "split-mnist.h5", folder / "split-mnist.png"
    make_folder(folder)
    say(f"{DEMO_TASKS} tasks, a mask each over the weights of one frozen {DEMO_RECIPE.net}")
    trained = _train(path, DEMO_RECIPE, DEMO_CONFIG, progress, say)
    say("reading the archive back, weights from the seed")
    with MaskArchive.open(path) as archive:
        damage = verify(archive, deep=True)
        backbone = backbone_of(archive)
        evaluation = evaluate_archive(archive, backbone)
        stats = archive_stats(archive)
        plot_report(evaluation.per_task, stats, plot)
    # Of its own folder: what lies beside the plot is the archive that the report is of.
    units = folder / "hopfield" / "split-mnist.h5"
    say(f"the same tasks, a mask each over the units of one frozen {UNITS_RECIPE.net}")
    trained += _train(units, UNITS_RECIPE, UNITS_CONFIG, progress, say)
    return DemoReport(
        archive=path,
        plot=plot,
        net=DEMO_RECIPE.net,
        trained=trained,
        weights_digest=backbone.digest,
        damage=len(damage),
        evaluation=evaluation,
        stats=stats,
        recovery=_recover(units, units.with_suffix(".memory.h5"), say),
    )


def _train(
    path: Path,
    network: BackboneRecipe,
    config: TrainConfig,
    progress: Callable[[Progress], None] | None,
    say: Callable[[str], None],
) -> int:
    """Train the tasks that the archive lacks; how many they were."""
    return train_missing(
        path,
        task_family(DEMO_FAMILY, seed=config.seed),
        network,
        config,
        progress=progress,
        on_task=lambda stored: say(
            f"{stored.name}: appended {stored.bytes:,} bytes, sha256 {stored.sha256[:12]}"
        ),
    )


def _recover(path: Path, memory: Path, say: Callable[[str], None]) -> DemoRecovery:
    say("recovering each mask from a Hopfield memory and images without labels")
    with MaskArchive.open(path) as archive:
        made = encode_archive(archive)
        size = made.save(memory)
        runs = list(recover_all(archive, made))
        return DemoRecovery(
            archive=path,
            memory=memory,
            net=UNITS_RECIPE.net,
            units=archive.layout.bits,
            tasks=len(runs),
            exact=sum(run.exact for run in runs),
            memory_bytes=size,
        )
