"""Allocation: does a batch belong to a mask that is there, or to none of them?"""

from collections.abc import Mapping

from maskstore.registry import check_one_of
from supsup.task_free.allocation.base import Allocation, Verdict
from supsup.task_free.allocation.level import Level
from supsup.task_free.allocation.prototypes import Prototypes
from supsup.task_free.allocation.uniform import Uniform

ALLOCATIONS: Mapping[str, type[Allocation]] = {
    "level": Level,
    "prototypes": Prototypes,
    "uniform": Uniform,
}
"""What the command line's ``--allocation`` names."""


def parse_allocation(name: str) -> Allocation:
    """A rule from its name, with its defaults; raises InvalidInput on an unknown one."""
    check_one_of("allocation", name, ALLOCATIONS)
    return ALLOCATIONS[name]()


__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "Level",
    "Prototypes",
    "Uniform",
    "Verdict",
    "parse_allocation",
]
