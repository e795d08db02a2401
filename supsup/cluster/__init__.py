"""Training on more than one machine."""

from supsup.cluster.engine import RayEngine, parse_engine
from supsup.cluster.ray_cluster import RayCluster

__all__ = ["RayCluster", "RayEngine", "parse_engine"]
