"""Methods: from data and K masks to the evidence for each."""

from maskstore.registry import Registry, check_one_of, registry_of
from supsup.inference.methods.base import Method
from supsup.inference.methods.binary import Binary
from supsup.inference.methods.exhaustive import Exhaustive
from supsup.inference.methods.hybrid import Hybrid
from supsup.inference.methods.logits import Logits
from supsup.inference.methods.one_shot import OneShot
from supsup.inference.methods.prototypes import Prototypes

METHODS: Registry[type[Method]] = registry_of(
    "inference method", (OneShot, Binary, Exhaustive, Logits, Hybrid, Prototypes)
)
"""What the command line's ``--method`` names, beside ``auto``."""


def parse_method(method: str | Method) -> Method:
    """A method from its name, with its defaults; one that is made already is returned as it is.

    Raises:
        InvalidInput: an unknown name.
    """
    if isinstance(method, Method):
        return method
    check_one_of("method", method, ("auto", *METHODS))
    return METHODS[method]()


__all__ = [
    "METHODS",
    "Binary",
    "Exhaustive",
    "Hybrid",
    "Logits",
    "Method",
    "OneShot",
    "Prototypes",
    "parse_method",
]
