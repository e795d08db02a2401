"""Masks out of other projects' checkpoints, and dense models out of an archive."""

from supsup.checkpoints.export import export_dense
from supsup.checkpoints.import_masks import ImportReport, import_checkpoint

__all__ = ["ImportReport", "export_dense", "import_checkpoint"]
