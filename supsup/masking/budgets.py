"""How many weights each layer keeps under the top-k rule."""

import math
from typing import get_args

from maskstore.layout import MaskLayout
from maskstore.numbers import parse_share
from maskstore.registry import check_one_of
from supsup.choices import BudgetName

BUDGETS: tuple[str, ...] = get_args(BudgetName)


def budget(layout: MaskLayout, density: float, kind: str = "uniform") -> dict[str, int]:
    """Weights to keep, by layer: at least 1 and at most all.

    ``uniform`` keeps the same share of every layer, rounded half up. ``erdos-renyi`` spreads
    density · d weights so that a layer's share is proportional to sum(shape) / prod(shape) (Mocanu
    et al., 2018; with kernel axes Evci et al., 2020, RigL), which spares narrow layers; a layer
    that would need more than all its weights keeps all, and the others share the rest.

    Args:
        density: share of all weights to keep, in (0, 1].

    Raises:
        InvalidInput: the density or the kind cannot be used.
    """
    density = parse_share("density", density)
    check_one_of("budget", kind, BUDGETS)
    sizes = {name: math.prod(shape) for name, shape in layout.shapes.items()}
    if kind == "uniform":
        return {name: max(1, _round_half_up(density * n)) for name, n in sizes.items()}
    total = _round_half_up(density * layout.bits)
    return _apportion(_erdos_renyi(layout, sizes, density), sizes, total)


def paper_budget(layout: MaskLayout, multiplier: float) -> dict[str, int]:
    """Weights to keep, by layer, as in the paper's SplitImageNet (Wortsman et al., 2020, table 1).

    A layer keeps min(0.5, s (in + out) / n) of its n weights, where in and out are the first two
    axes, whatever the kernel; rounded half up, at least 1. No layer makes up for another.

    Args:
        multiplier: s, above 0; the paper's are 4, 8 and 16.
    """
    keep = {}
    for name, shape in layout.shapes.items():
        n = math.prod(shape)
        share = min(0.5, multiplier * sum((*shape, 1)[:2]) / n)
        keep[name] = max(1, _round_half_up(share * n))
    return keep


def _round_half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _erdos_renyi(layout: MaskLayout, sizes: dict[str, int], density: float) -> dict[str, float]:
    """Real-valued budgets: c · sum(shape) for layers that are not full, all of the full ones."""
    full: set[str] = set()
    while True:
        open_layers = [name for name in sizes if name not in full]
        rest = density * layout.bits - sum(sizes[name] for name in full)
        # sum(shape) / prod(shape) of prod(shape) weights: the wanted number is c · sum(shape).
        units = sum(sum(layout.shapes[name]) for name in open_layers)
        wanted = {name: rest * sum(layout.shapes[name]) / units for name in open_layers}
        over = {name for name in open_layers if wanted[name] >= sizes[name]}
        if not over:
            return wanted | {name: float(sizes[name]) for name in full}
        full |= over


def _apportion(wanted: dict[str, float], sizes: dict[str, int], total: int) -> dict[str, int]:
    """Whole numbers near ``wanted`` that add up to ``total`` (largest remainders first)."""
    keep = {name: max(1, math.floor(wanted[name])) for name in sizes}
    by_remainder = sorted(sizes, key=lambda name: math.floor(wanted[name]) - wanted[name])
    for name in by_remainder:
        if sum(keep.values()) < total and keep[name] < sizes[name]:
            keep[name] += 1
    return keep
