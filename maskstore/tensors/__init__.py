"""Tensors kept beside masks: their types, how they are coded, and how a set of them is stored."""

from maskstore.tensors.table import (
    StoredSet,
    TensorInfo,
    check_set,
    decode_set,
    describe,
    encode_set,
)
from maskstore.tensors.values import BFloat16, TensorValue

__all__ = [
    "BFloat16",
    "StoredSet",
    "TensorInfo",
    "TensorValue",
    "check_set",
    "decode_set",
    "describe",
    "encode_set",
]
