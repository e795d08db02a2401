"""Figures of the paper, trained, measured and drawn anew."""

from collections.abc import Mapping

from maskstore.registry import check_one_of
from supsup.figures.base import PaperFigure, Row, reproduce
from supsup.figures.bytes import BytesFigure
from supsup.figures.curves import CurveFigure
from supsup.figures.hopfield import HopfieldFigure, HopfieldSeedsFigure
from supsup.figures.nns import NnsFigure
from supsup.figures.outputs import OutputsFigure
from supsup.figures.permuted import PermutedFigure
from supsup.figures.rotated import RotatedFigure
from supsup.figures.sizes import Sizes
from supsup.figures.transfer import TransferFigure
from supsup.figures.workspace import Workspace

FIGURES: Mapping[str, PaperFigure] = {
    figure.name: figure
    for figure in (
        PermutedFigure(),
        RotatedFigure(),
        OutputsFigure(),
        NnsFigure(),
        TransferFigure(),
        BytesFigure(),
        HopfieldFigure(),
        HopfieldSeedsFigure(),
    )
}
"""What the command line's ``reproduce`` names."""


def find_figure(name: str) -> PaperFigure:
    """The figure of a name; raises InvalidInput, listing all of them, on another."""
    check_one_of("figure", name, FIGURES)
    return FIGURES[name]


__all__ = [
    "FIGURES",
    "BytesFigure",
    "CurveFigure",
    "HopfieldFigure",
    "HopfieldSeedsFigure",
    "NnsFigure",
    "OutputsFigure",
    "PaperFigure",
    "PermutedFigure",
    "RotatedFigure",
    "Row",
    "Sizes",
    "TransferFigure",
    "Workspace",
    "find_figure",
    "reproduce",
]
