"""Schedule: how a recovery descends, in units that do not depend on the network or the data."""

from dataclasses import dataclass
from math import inf

from maskstore.numbers import parse_real, parse_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How many steps, how far, how often.

    Slopes and pulls are scaled to root mean square 1 before they are weighted, so that neither
    the size of the network, nor the number of patterns, nor the scale of the entropy matters:
    lengths are in units of the box [-1, 1]^d, whose corners are 1 from its centre.

    Attributes:
        steps: T of eq. 6, batches a descent.
        path: length of a descent whose steps all point one way.
        judging: batches that a mask is judged on, the same ones for every mask.
        restarts: descents after the first, each with what was found before removed.

    Raises:
        InvalidInput: a field is out of range.
    """

    steps: int = 10
    path: float = 1.65
    judging: int = 4
    restarts: int = 7

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("judging", 1), ("restarts", 0)):
            number = parse_whole(f"schedule: {name}", getattr(self, name), least=least)
            object.__setattr__(self, name, number)
        path = parse_real("schedule: path", self.path, "a positive length", lambda x: 0 < x < inf)
        object.__setattr__(self, "path", path)

    @property
    def rate(self) -> float:
        """Length of the first step; entropy's share of it falls to 0 as the memory's rises."""
        return self.path / sum(1 - step / self.steps for step in range(self.steps))
