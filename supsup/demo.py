"""The main job end to end on the digits that come with the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskstore import verify
from maskstore.archive import MaskArchive
from maskstore.stats import ArchiveStats, archive_stats
from supsup.archives import backbone_of, evaluate_archive, train_missing
from supsup.evaluation.score import Evaluation
from supsup.networks.recipe import BackboneRecipe
from supsup.plots import plot_report
from supsup.recovery.compare import recover_all
from supsup.recovery.encode import encode_archive
from supsup.tasks import task_family
from supsup.training.config import TrainConfig
from supsup.training.loop import Progress

# Ten outputs for two classes: the superfluous ones are what task inference looks at.
DEMO_RECIPE = BackboneRecipe(net="bn-2048", outputs=10, seed=0)
DEMO_CONFIG = TrainConfig(epochs=4, seed=0)
DEMO_FAMILY = "split-mnist-sample"
DEMO_TASKS = len(task_family(DEMO_FAMILY))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo made and measured.

    Attributes:
        exact: masks that came back bit for bit from a Hopfield memory and unlabelled images.
        memory_bytes: of that memory.
    """

    archive: Path
    plot: Path
    trained: int
    weights_digest: str
    damage: int
    evaluation: Evaluation
    stats: ArchiveStats
    exact: int
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The document of ``demo --json``."""
        return {
            "archive": str(self.archive),
            "plot": str(self.plot),
            "trained": self.trained,
            "weights_digest": self.weights_digest,
            "damage": self.damage,
            "eval": self.evaluation.to_json(),
            "stats": self.stats.to_json(),
            "recovered": {
                "tasks": len(self.evaluation.per_task),
                "exact": self.exact,
                "memory_bytes": self.memory_bytes,
            },
        }


def run_demo(
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> DemoReport:
    """Train SplitMNIST on the embedded sample, append every mask, read them back, evaluate, draw,
    recover them from a Hopfield memory.

    What is in ``folder`` from an earlier run is used, not trained again.

    Raises:
        ArchiveWriteError: the folder cannot be made or written to.
        LayoutMismatch, InvalidInput: the folder holds another archive of that name.
    """
    path, plot = folder / "split-mnist.h5", folder / "split-mnist.png"
    recipes = task_family(DEMO_FAMILY, seed=DEMO_CONFIG.seed)
    say(f"{len(recipes)} tasks, a mask each over one frozen {DEMO_RECIPE.net}")
    trained = train_missing(
        path,
        recipes,
        DEMO_RECIPE,
        DEMO_CONFIG,
        progress=progress,
        on_task=lambda stored: say(
            f"{stored.name}: appended {stored.bytes} bytes, sha256 {stored.sha256[:12]}"
        ),
    )
    say("reading the archive back, weights from the seed")
    with MaskArchive.open(path) as archive:
        damage = verify(archive, deep=True)
        backbone = backbone_of(archive)
        evaluation = evaluate_archive(archive, backbone)
        stats = archive_stats(archive)
        plot_report(evaluation.per_task, stats, plot)
        memory = encode_archive(archive)
        exact = sum(run.exact for run in recover_all(archive, memory))
    return DemoReport(
        archive=path,
        plot=plot,
        trained=trained,
        weights_digest=backbone.digest,
        damage=len(damage),
        evaluation=evaluation,
        stats=stats,
        exact=exact,
        memory_bytes=memory.memory.nbytes,
    )
