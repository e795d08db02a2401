"""Figures of the paper, trained, measured and drawn anew."""

from supsup.figures.base import PaperFigure, Row, reproduce
from supsup.figures.bytes import BytesFigure
from supsup.figures.curves import CurveFigure
from supsup.figures.nns import NnsFigure
from supsup.figures.outputs import OutputsFigure
from supsup.figures.permuted import PermutedFigure
from supsup.figures.rotated import RotatedFigure
from supsup.figures.sizes import Sizes
from supsup.figures.transfer import TransferFigure
from supsup.figures.workspace import Workspace

__all__ = [
    "BytesFigure",
    "CurveFigure",
    "NnsFigure",
    "OutputsFigure",
    "PaperFigure",
    "PermutedFigure",
    "RotatedFigure",
    "Row",
    "Sizes",
    "TransferFigure",
    "Workspace",
    "reproduce",
]
