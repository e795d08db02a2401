"""Finding the task by what its data look like: class means of features, one pooled covariance."""

from supsup.inference.prototypes.features import FeatureRecipe, Features
from supsup.inference.prototypes.model import PrototypeModel
from supsup.inference.prototypes.statistics import ClassMeans, PooledCovariance, measure
from supsup.inference.prototypes.stored import (
    TaskPrototypes,
    add_prototypes,
    has_prototypes,
    join_prototypes,
    whose_prototypes,
)

__all__ = [
    "ClassMeans",
    "FeatureRecipe",
    "Features",
    "PooledCovariance",
    "PrototypeModel",
    "TaskPrototypes",
    "add_prototypes",
    "has_prototypes",
    "join_prototypes",
    "measure",
    "whose_prototypes",
]
