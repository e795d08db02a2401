"""How the bits of one layer depend on their contexts: a table of levels, and a pull.

The context of a weight is its *row*, which way and how hard training pulled it, and its *column*,
the size of its initial score and, with history, whether an earlier task flipped it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from maskstore.codecs.contextual.low_rank import MAX_RANK, PULLS, Pull
from maskstore.codecs.contextual.search import Task, fit_pull
from maskstore.codecs.entropy.coder import Decoder, Encoder, uniform
from maskstore.codecs.entropy.table import choose_table, put_table, take_table
from maskstore.errors import CorruptArchive

_SIZE_BITS = range(8)
_FIT_SIZE_BITS = 4
_FEW_WEIGHTS = 64
"""Below that a layer's own contexts can not pay."""
_HISTORY = 128
"""What a flip by an earlier task adds to the size of a score."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerContexts:
    """What coder and decoder know of the weights of a layer before its model.

    Attributes:
        shape: (outputs, inputs of one output).
        size: of the initial score, 0 … 127.
        toward: 1 where a pull makes a flip likelier.
        earlier: 1 where the earlier task flipped the bit; None without history.
    """

    shape: tuple[int, int]
    size: UInt8[np.ndarray, " n"]
    toward: UInt8[np.ndarray, " n"]
    earlier: UInt8[np.ndarray, " n"] | None

    @property
    def histories(self) -> int:
        """How many kinds of weights the earlier task tells apart."""
        return 1 if self.earlier is None else 2

    def both(self) -> UInt8[np.ndarray, " n"]:
        """Size and history as one number below 128 · histories; its high bits are the column."""
        if self.earlier is None:
            return self.size
        found: UInt8[np.ndarray, " n"] = self.size + self.earlier * np.uint8(_HISTORY)
        return found

    @property
    def max_rank(self) -> int:
        """No more numbers in a pull than half as many as the layer has weights."""
        rows, columns = self.shape
        return min(MAX_RANK, rows * columns // (2 * (rows + columns)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerModel:
    """How the bits of one layer depend on their contexts.

    Attributes:
        size_bits: how many of the highest bits of the initial score's size count.
        oriented: whether the sign of the pull counts, towards a flip or against it. It can count
            with no pull: then it is the weight's own sign that does.
        pull: None where nothing was found that pays.
        table: probability level by pull (rows) and size (columns); with history the columns of the
            weights that the earlier task flipped follow the others.
        spread: parameter of the table's code.
    """

    size_bits: int
    oriented: bool
    pull: Pull | None
    table: UInt8[np.ndarray, "row column"]
    spread: int

    def put(self, encoder: Encoder) -> None:
        """Append the model to a code."""
        rank = 0 if self.pull is None else self.pull.rows.shape[1]
        encoder.put(uniform(MAX_RANK + 1), [rank])
        encoder.put(uniform(len(_SIZE_BITS)), [self.size_bits])
        if self.pull is None:
            encoder.put(uniform(2), [int(self.oriented)])
        else:
            self.pull.put(encoder)
        put_table(encoder, self.table, self.spread)

    @classmethod
    def take(cls, decoder: Decoder, known: LayerContexts) -> "LayerModel":
        """The inverse of :meth:`put`; raises CorruptArchive."""
        rank = decoder.take_one(uniform(MAX_RANK + 1))
        if rank > known.max_rank:
            raise CorruptArchive(f"a pull of rank {rank} for a layer of shape {known.shape}")
        size_bits = decoder.take_one(uniform(len(_SIZE_BITS)))
        if rank:
            pull, rows = Pull.take(decoder, rank, known.shape), PULLS
        else:
            pull, rows = None, 1 + decoder.take_one(uniform(2))
        table, spread = take_table(decoder, rows, known.histories << size_bits)
        return cls(size_bits=size_bits, oriented=rows > 1, pull=pull, table=table, spread=spread)

    def levels(self, known: LayerContexts) -> UInt8[np.ndarray, " n"]:
        """The probability level of every weight of the layer."""
        from maskstore.codecs import kernels

        rows = _rows_of_table(self.oriented, self.pull, known.toward)
        shift = np.uint8(7 - self.size_bits)
        levels: UInt8[np.ndarray, " n"]
        levels = kernels.look_up_levels(rows, known.both(), shift, self.table)
        return levels

    @classmethod
    def choose(cls, flips: UInt8[np.ndarray, " n"], known: LayerContexts) -> "LayerModel":
        """The cheapest of a few models of a layer: contexts off, then on one after another."""
        from maskstore.codecs import kernels

        options: list[tuple[bool, Pull | None, tuple[int, ...]]] = [(False, None, (0,))]
        if flips.size >= _FEW_WEIGHTS and flips.any():
            options = [(False, None, (0, _FIT_SIZE_BITS, 7)), (True, None, (_FIT_SIZE_BITS,))]
            if known.max_rank:
                pull = fit_pull(_task(flips, known), known.max_rank)
                if pull is not None:
                    options.append((True, pull, (2, 3, 4, 5)))
        best, best_bits = None, np.inf
        both, sizes = known.both(), 128 * known.histories
        for oriented, pull, tried in options:
            number = PULLS if pull is not None else 1 + oriented
            rows = _rows_of_table(oriented, pull, known.toward)
            clear, ones = kernels.count_contexts(rows, both, flips, number, sizes)
            for size_bits in tried:
                coarse = (number, known.histories << size_bits, -1)
                table, spread, bits = choose_table(
                    ones.reshape(coarse).sum(axis=2), clear.reshape(coarse).sum(axis=2)
                )
                bits += 0.0 if pull is None else pull.code_bits()
                if bits < best_bits:
                    best_bits = bits
                    best = cls(
                        size_bits=size_bits,
                        oriented=oriented,
                        pull=pull,
                        table=table,
                        spread=spread,
                    )
        assert best is not None
        return best


def _task(flips: UInt8[np.ndarray, " n"], known: LayerContexts) -> Task:
    """What a pull is searched for: as many contexts with history as without."""
    size_bits = _FIT_SIZE_BITS - (known.histories - 1)
    return Task(
        flips=flips.reshape(known.shape),
        size=(known.both() >> (7 - size_bits)).reshape(known.shape),
        toward=known.toward.reshape(known.shape),
        sizes=known.histories << size_bits,
    )


def _rows_of_table(
    oriented: bool, pull: Pull | None, toward: UInt8[np.ndarray, " n"]
) -> UInt8[np.ndarray, " n"]:
    """The row of every weight's context."""
    if pull is not None:
        return pull.rows_of_table(toward)
    return toward if oriented else np.zeros_like(toward)
