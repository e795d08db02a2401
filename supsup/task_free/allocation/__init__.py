"""Allocation: does a batch belong to a mask that is there, or to none of them?"""

from collections.abc import Mapping

from maskstore.errors import InvalidInput
from supsup.task_free.allocation.base import Allocation, Verdict
from supsup.task_free.allocation.level import Level
from supsup.task_free.allocation.uniform import Uniform

ALLOCATIONS: Mapping[str, type[Allocation]] = {"level": Level, "uniform": Uniform}
"""What the command line's ``--allocation`` names."""


def parse_allocation(name: str) -> Allocation:
    """A rule from its name, with its defaults; raises InvalidInput on an unknown one."""
    if name not in ALLOCATIONS:
        raise InvalidInput(f"allocation: expected one of {', '.join(ALLOCATIONS)}, got {name!r}")
    return ALLOCATIONS[name]()


__all__ = ["ALLOCATIONS", "Allocation", "Level", "Uniform", "Verdict", "parse_allocation"]
