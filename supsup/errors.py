"""Errors of training. Everything else uses the tree of :mod:`maskstore.errors`."""

from maskstore.errors import SupsupError


class TrainingDiverged(SupsupError):
    """A loss or a score stopped being a finite number; no mask came of it."""
