"""Learning rules and forms, one file each, and the one place that knows them by name."""

from collections.abc import Sequence

from hopfield.rules.base import HopfieldMemory, QuadraticMemory
from hopfield.rules.blocks import MATRICES, BlockMemory, layer_blocks
from hopfield.rules.covariance import PackedCovarianceMemory
from hopfield.rules.hebb import PackedHebbMemory
from hopfield.rules.modern import ModernMemory
from hopfield.rules.projection import PackedProjectionMemory
from hopfield.rules.quantisation import QuantisedMemory, quantised
from maskstore.errors import InvalidInput
from maskstore.registry import check_one_of

RULES: dict[str, type[HopfieldMemory]] = {**MATRICES, "modern": ModernMemory}
"""Every rule in its own form: a matrix, but for ``modern``."""

PACKED: dict[str, type[HopfieldMemory]] = {
    memory.rule: memory
    for memory in (
        PackedHebbMemory,
        PackedCovarianceMemory,
        PackedProjectionMemory,
        ModernMemory,
    )
}
"""The rules that work on packed patterns, without a matrix."""

FORMS: dict[str, dict[str, type[HopfieldMemory]]] = {
    "dense": {**MATRICES},
    "packed": PACKED,
    "blocks": dict.fromkeys(MATRICES, BlockMemory),
    "quantised": dict.fromkeys(MATRICES, QuantisedMemory),
}
"""Form → rule → class: ``blocks`` has a matrix for each block, ``quantised`` few bits a synapse."""


def new_memory(
    rule: str, size: int, *, form: str | None = None, blocks: Sequence[int] = ()
) -> HopfieldMemory:
    """An empty memory.

    Args:
        form: ``dense`` (a matrix), ``packed`` (made from packed patterns, any size) or ``blocks``;
            the rule's own by default.
        blocks: units of each block, together ``size``; see :func:`layer_blocks`.

    Raises:
        InvalidInput: unknown, a rule that has no such form, or too large for its matrices.

    >>> memory = new_memory("hebb", 4)
    >>> memory.encode(np.int8([1, 1, -1, -1]))
    >>> memory.count, memory.size, memory.form
    (1, 4, 'dense')
    """
    check_one_of("Hopfield rule", rule, RULES)
    form = form or RULES[rule].form
    forms = [name for name, rules in FORMS.items() if rule in rules and name != "quantised"]
    if form not in forms:
        raise InvalidInput(
            f"Hopfield rule {rule!r}: expected a form of {', '.join(forms)}, got {form!r}; "
            "quantise a memory once its patterns are in it"
        )
    if form == "blocks":
        if sum(blocks) != size:
            raise InvalidInput(f"blocks: expected {size} units in all, got {sum(blocks)}")
        return BlockMemory.of_sizes(blocks, MATRICES[rule])
    if blocks:
        raise InvalidInput(f"blocks: only form 'blocks' has any, got them for {form!r}")
    return FORMS[form][rule](size)


__all__ = [
    "FORMS",
    "MATRICES",
    "PACKED",
    "RULES",
    "BlockMemory",
    "HopfieldMemory",
    "QuadraticMemory",
    "QuantisedMemory",
    "layer_blocks",
    "new_memory",
    "quantised",
]
