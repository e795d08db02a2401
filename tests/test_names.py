"""Files and names that pages and docstrings mention exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.sources import PACKAGES, ROOT, folder_of, in_checkout

PAGES = [
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if page.name != "CHANGELOG.md"  # tells of releases whose names are gone
]
ELSEWHERE = {"data/partitionmnistv2.py", "experiments/GNu/SplitMNIST/hopsupsup.py"}
"""Files of the paper's code."""

CODE = re.compile(r"```.*?```|`[^`]+`", re.S)
FILE = re.compile(r"(?<![\w./*{-])[a-zA-Z][\w./-]*(?:\.(?:py|md)|/)(?![\w*{<])")
ENDINGS = ("py", "md", "json", "h5", "png", "svg")
WRITTEN = re.compile(r"^```python\n# ([a-z_]+\.py)\n", re.M)
"""Files that a page tells the reader to write."""
NAME = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|benchmarks|tests)(?:\.[A-Za-z_]\w*)+")
ROLE = re.compile(r":(?:class|func|mod|data|meth|exc|attr):`~?([^`<>]+)`")


def files_in(text: str) -> set[str]:
    """The files and folders of this project that code in a page mentions."""
    found = {path for code in CODE.findall(text) for path in FILE.findall(code)}
    found = {path for path in found if not path.split("/")[0].isupper()}
    return found - ELSEWHERE - set(WRITTEN.findall(text))


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module has."""
    parts = name.split(".")
    for stop in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:stop]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:stop]).startswith(str(error.name)):
                return True  # there, but it needs a package that this machine lacks
            continue
        for part in parts[stop:]:
            if part in getattr(found, "__annotations__", {}):
                return True
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_in_pages_exist(page):
    trees = [ROOT / name for name in ("tests", "docs", "examples", "benchmarks")]
    trees += [folder_of(package) for package in PACKAGES]
    missing = set()
    for path in files_in(page.read_text("utf-8")):
        nearby = (in_checkout(path), page.parent / path)
        deeper = (found for tree in trees for found in tree.rglob(path.rstrip("/")))
        if not any(near.exists() for near in nearby) and not any(deeper):
            missing.add(path)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_in_pages_exist(page):
    names = set(NAME.findall(page.read_text("utf-8")))
    names = {
        name
        for name in names
        if name.rpartition(".")[2] not in ("py", "md", "json", "h5", "png", "svg")
    }
    assert not {name for name in names if not exists(name)}


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks"])
def test_names_in_docstrings_exist(package):
    folder = ROOT / package if package == "benchmarks" else folder_of(package)
    missing = set()
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        module = ".".join((package, *parts)).removesuffix(".__init__")
        for text in docstrings(file):
            names = {name for name in NAME.findall(text) if not name.endswith((".py", ".NAME"))}
            for role in ROLE.findall(text):
                where = [role, f"{module}.{role}", *(f"{module}.{c}.{role}" for c in classes(file))]
                if not any(exists(name) for name in where):
                    missing.add(f"{module}: {role}")
            missing |= {f"{module}: {name}" for name in names if not exists(name)}
            paths = {path for path in FILE.findall(text) if path.endswith(".md")}
            missing |= {f"{module}: {path}" for path in paths if not in_checkout(path).exists()}
    assert not missing


def docstrings(file: Path) -> list[str]:
    """Every string in a module that stands alone: docstrings, and those below attributes."""
    return [
        node.value.value
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def classes(file: Path) -> list[str]:
    """The names of a module's classes."""
    tree = ast.parse(file.read_text("utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def test_the_test_sees_what_is_gone():
    assert files_in("`supsup/gone.py`, `GONE/x.py`, gone.py and `docs/results/`") == {
        "supsup/gone.py",
        "docs/results/",
    }
    assert exists("supsup.tasks.protocol.TaskData.test_batches")
    assert exists("supsup.training.config.TrainConfig.steps")
    assert not exists("supsup.gone.TaskData")
    assert not exists("supsup.tasks.protocol.TaskData.gone")
    assert NAME.findall("`hopfield.gone(x)` and my_supsup.x") == ["hopfield.gone"]
