"""Backbones: networks whose numbers a seed gives back."""

from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.registry import NETS, Net, make_module

__all__ = [
    "NETS",
    "Backbone",
    "BackboneRecipe",
    "Net",
    "build",
    "make_module",
]
