"""CPU kernels on packed masks: numba, with the inner loops in LLVM's vector types.

They take NumPy arrays and know nothing of networks. Wherever a row of packed bits has ``bytes``
bytes, a *frame* is the float32 row of ``8 * bytes`` numbers that lies over it, one a bit, padding
included (:mod:`supsup.inference.frame`).
"""

from supsup.inference.kernels.apply import apply_masks
from supsup.inference.kernels.count import count_bits
from supsup.inference.kernels.product import multiply
from supsup.inference.kernels.sparse import SparseMasks, run_sparse, sparsify

__all__ = ["SparseMasks", "apply_masks", "count_bits", "multiply", "run_sparse", "sparsify"]
