"""Learning rules, one file each."""

from hopfield.rules.base import HopfieldMemory
from hopfield.rules.covariance import CovarianceMemory
from hopfield.rules.hebb import HebbMemory
from hopfield.rules.modern import ModernMemory
from hopfield.rules.projection import ProjectionMemory
from hopfield.rules.storkey import StorkeyMemory

RULES: dict[str, type[HopfieldMemory]] = {
    memory.rule: memory
    for memory in (HebbMemory, CovarianceMemory, StorkeyMemory, ProjectionMemory, ModernMemory)
}
