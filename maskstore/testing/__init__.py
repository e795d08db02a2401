"""Storage that fails on purpose: to try what a store promises, this project's or one's own.

A store that reads and writes through a :class:`~maskstore.storage.raw_file.Device` is given

- a :class:`MemoryDevice`, which records every write, sync, truncation and read, and
  :func:`power_losses`, which replays what a crash may leave at each of them;
- a :class:`CachedDevice`, whose syncs fail and whose pages the system then forgets to write;
- an :class:`ErringDevice`, of which any one call fails, or all from one on.

:class:`RecordedFolder` does the same for whole files that are renamed into their place, and
:func:`interrupted` stops any work by Ctrl-C between two of its instructions. The state machine of
an archive beside a dictionary is in ``maskstore.testing.machine``, which needs Hypothesis.
"""

from maskstore.testing.crashes import crash_states, power_losses
from maskstore.testing.devices import MemoryDevice, Operation, Read, Sync, Truncate, Write, apply
from maskstore.testing.faults import CachedDevice, ErringDevice
from maskstore.testing.folders import RecordedFolder
from maskstore.testing.interrupts import instructions, interrupted

__all__ = [
    "CachedDevice",
    "ErringDevice",
    "MemoryDevice",
    "Operation",
    "Read",
    "RecordedFolder",
    "Sync",
    "Truncate",
    "Write",
    "apply",
    "crash_states",
    "instructions",
    "interrupted",
    "power_losses",
]
