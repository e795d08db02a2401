"""Where the packages under test are: in this checkout, or installed from a wheel."""

from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("maskstore", "hopfield", "supsup", "supsup_store")


def folder_of(package: str) -> Path:
    """The folder of a package; nothing is imported."""
    spec = find_spec(package)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def in_checkout(path: str) -> Path:
    """A path as the checkout has it, below the package's folder where that is elsewhere."""
    first, *rest = Path(path).parts or (".",)
    if first == "cli":
        return folder_of("supsup_store").joinpath(*rest[1:])
    return folder_of(first).joinpath(*rest) if first in PACKAGES else ROOT / path
