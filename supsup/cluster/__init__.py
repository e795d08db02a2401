"""Training on more than one machine."""

from supsup.cluster.ray_cluster import RayCluster

__all__ = ["RayCluster"]
