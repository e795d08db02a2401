"""Recovery by the letter of eq. 6, with the constants of the paper's code: for comparison."""

import numpy as np
from jaxtyping import Float

from hopfield.descent import Schedule
from hopfield.recovery import Accept, Entropy, Recovery, Step, checked, judged, signs
from hopfield.rules.base import HopfieldMemory, QuadraticMemory
from maskstore.errors import InvalidInput
from maskstore.numbers import parse_whole

RATE, MOMENTUM, DECAY, GAMMA = 500.0, 0.9, 1e-4, 1.5e-3
"""Of ``hopfield_recovery`` in the paper's ``adaptors.py``: of its gradient descent, and γ of the
energy's weight."""


def recover_literally(
    memory: HopfieldMemory,
    entropy: Entropy,
    *,
    start: Float[np.ndarray, " unit"],
    steps: int,
    accept: Accept | None = None,
) -> Recovery:
    """Gradient steps on (1 - t/T) H(p) + γ (t/T) E(z), for t = 1 … T (eq. 6).

    What moves are scores behind a binary mask, from the mean of the stored patterns: the mask is
    their sign, and its gradient is passed straight through to them. There are no restarts, and
    nothing settles the end. The paper's memory is Storkey's rule with a block for each layer.

    Args:
        start: mean of the stored patterns.
        steps: T: one pass over the data, in batches, in the paper's code.
        accept: see :func:`hopfield.recover`; it only says whether the data are of a stored task.

    Raises:
        InvalidInput: an empty memory, one without a quadratic energy, no steps, or an entropy that
            is not finite.
    """
    steps = parse_whole("steps", steps)
    if not memory.count:
        raise InvalidInput("recovery: the memory is empty; encode a mask first")
    if not isinstance(memory, QuadraticMemory):
        raise InvalidInput(
            f"recovery by eq. 6: the energy of rule {memory.rule!r} is not quadratic; encode with "
            "rule storkey and form blocks, the paper's"
        )
    scores, velocity = start.astype(np.float64), np.zeros(memory.size)
    trajectory = []
    for t in range(1, steps + 1):
        z = signs(scores).astype(np.float64)
        value, slope = checked(entropy, (z + 1) / 2, t - 1)
        trajectory.append(
            Step(restart=0, energy=memory.energy(z), entropy=value, pattern=signs(scores))
        )
        # E is a function of z = 2m - 1: its slope in the mask is twice that in z.
        energy_slope = -2 * memory.field(z)
        velocity = MOMENTUM * velocity + DECAY * scores
        velocity += (1 - t / steps) * slope + GAMMA * (t / steps) * energy_slope
        scores -= RATE * velocity
    schedule = Schedule()
    found = judged(memory, entropy, signs(scores), schedule, accept)
    end = Step(restart=0, energy=found.energy, entropy=found.entropy, pattern=found.pattern)
    return Recovery(
        candidates=(found,),
        restarts=0,
        batches=steps + schedule.judging,
        trajectory=(*trajectory, end),
    )
