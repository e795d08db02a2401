"""Names of codecs, said once: for ``--help`` and type checkers; a test proves them complete."""

from typing import Literal

CodecName = Literal["raw", "zstd", "gaps", "ans", "seeded", "history"]
PresetName = Literal["auto", "fast", "history"]
"""Sets of codecs, of which each mask takes the one that stores it smallest."""
