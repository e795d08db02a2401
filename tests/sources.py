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


def modules_with_shapes() -> list[str]:
    """The modules whose annotations name shapes; a package with those that are below it."""
    found = []
    for package in PACKAGES:
        folder = folder_of(package)
        for file in sorted(folder.rglob("*.py")):
            if "from jaxtyping import" in file.read_text("utf-8"):
                parts = (package, *file.relative_to(folder).with_suffix("").parts)
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


def in_checkout(path: str) -> Path:
    """A path as the checkout has it, below the package's folder where that is elsewhere."""
    first, *rest = Path(path).parts or (".",)
    if first == "cli":
        return folder_of("supsup_store").joinpath(*rest[1:])
    return folder_of(first).joinpath(*rest) if first in PACKAGES else ROOT / path
