"""Archives of one network joined, or tasks copied, with what each keeps for all its tasks.

PyTorch is imported only where there are prototypes: most archives have none, and the command line
should not wait for it.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from maskstore import MaskArchive, merge
from maskstore.maintenance import copy_tasks
from maskstore.tensors import TensorValue
from supsup.choices import PROTOTYPES_SET


def merge_archives(
    sources: Sequence[MaskArchive],
    path: str | PathLike[str],
    *,
    on_task: Callable[[str], None] = lambda name: None,
) -> int:
    """:func:`maskstore.merge` of archives whose prototypes need not be the same.

    Tasks of an archive without prototypes have none afterwards, either; all must have some before
    ``auto`` goes by them.

    Raises:
        InvalidInput: prototypes of different features.
        ArchiveError: as :func:`maskstore.merge`.
    """
    return merge(sources, Path(path), joins={PROTOTYPES_SET: _joined}, on_task=on_task)


def copy_between(source: MaskArchive, names: Sequence[str], target: MaskArchive) -> None:
    """:func:`maskstore.maintenance.copy_tasks` to an archive whose prototypes need not be the same.

    The target's covariance is then over the tasks of both, those that stay behind included.

    Raises:
        InvalidInput: prototypes of different features.
        ArchiveError: as there; nothing was copied.
    """
    copy_tasks(source, names, target, joins={PROTOTYPES_SET: _joined})


def _joined(sources: Sequence[MaskArchive]) -> Mapping[str, TensorValue]:
    from supsup.inference.prototypes import join_prototypes

    return join_prototypes(sources)
