"""What an archive knows of tasks whose data are not at hand: outliers are drawn from it."""

from maskstore import MaskArchive
from supsup.inference.prototypes import ClassMeans
from supsup.inference.prototypes.stored import MEANS, stored_covariance, stored_recipe
from supsup.networks.backbone import Backbone
from supsup.training.config import TrainConfig
from supsup.training.drawn_images import KnownTask, OtherTasks, require_others
from supsup.training.metadata import TaskMetadata
from supsup.training.outliers import OUTLIER_KINDS


def other_tasks(archive: MaskArchive, backbone: Backbone) -> OtherTasks | None:
    """The prototypes of an archive's tasks; None where none has any.

    Raises:
        DigestMismatch: they are of a layer of another network than ``backbone``.
        CorruptArchive: they cannot be read.
    """
    recipe = stored_recipe(archive)
    if recipe is None:
        return None
    if recipe.layer is not None:
        backbone.check_archive(archive)
    known = []
    for stored in archive:
        rows = archive.tensors(stored.name).get(MEANS)
        if rows is not None:
            about = TaskMetadata.of(stored)
            means = ClassMeans.decode(rows, recipe.size)
            known.append(
                KnownTask(name=stored.name, recipe=about.task, data=about.data, means=means)
            )
    covariance = stored_covariance(archive, recipe.size)
    return OtherTasks(tasks=tuple(known), features=recipe, covariance=covariance) if known else None


def others_for(
    config: TrainConfig, archive: MaskArchive | None, backbone: Backbone
) -> OtherTasks | None:
    """:func:`other_tasks` where the configuration draws outliers of them, else None.

    Raises:
        InvalidInput: it does, and there are none.
    """
    if not OUTLIER_KINDS[config.outlier_kind].draws_others:
        return None
    return require_others(None if archive is None else other_tasks(archive, backbone))
