"""Patterns, and a memory of every rule in every form."""

import numpy as np

from hopfield import FORMS, BlockMemory, new_memory, quantised

EVERY = [(rule, form) for form, rules in FORMS.items() for rule in rules]
MATRIX_RULES = list(FORMS["dense"])


def patterns(seed, count, size, density=0.5):
    return np.where(np.random.default_rng(seed).random((count, size)) < density, 1, -1).astype(
        np.int8
    )


def memory_of(rule, form, z):
    """The memory with the patterns ``z`` encoded; blocks are two unequal ones."""
    size = z.shape[1]
    blocks = (size // 3, size - size // 3) if form == "blocks" else ()
    memory = new_memory(rule, size, form="dense" if form == "quantised" else form, blocks=blocks)
    for x in z:
        memory.encode(x)
    return quantised(memory, 8) if form == "quantised" else memory


def naive_storkey(z):
    d = z.shape[1]
    w = np.zeros((d, d))
    for x in z.astype(float):
        new = w.copy()
        for i in range(d):
            for j in range(d):
                if i == j:
                    continue
                h_ij = sum(w[i, k] * x[k] for k in range(d) if k not in (i, j))
                h_ji = sum(w[j, k] * x[k] for k in range(d) if k not in (i, j))
                new[i, j] += (x[i] * x[j] - x[i] * h_ji - h_ij * x[j]) / d
        w = new
    return w


def naive(rule, z):
    """(W, a, b) of a rule, by its definition."""
    d, a = z.shape[1], 0.0
    if rule == "covariance":
        a = float(z.mean()) if abs(z.mean()) < 0.99 else 0.99 * float(np.sign(z.mean()))
    if rule in ("hebb", "covariance"):
        w = sum(np.outer(x - a, x - a) for x in z.astype(float)) / d
    elif rule == "storkey":
        w = naive_storkey(z)
    else:
        w = np.linalg.pinv(z.astype(float)) @ z
    np.fill_diagonal(w, 0)
    return w, a, a * (1 - a**2)


def matrix_of(memory):
    """W of any quadratic memory, one product for each unit."""
    if isinstance(memory, BlockMemory):
        assert memory.size == sum(block.size for block in memory.blocks)
    return np.stack([memory.product(unit) for unit in np.eye(memory.size)])
