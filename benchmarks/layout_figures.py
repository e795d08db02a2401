"""The layout in figures, before and now: lines, files, slivers, imports between folders.

    python -m benchmarks.layout_figures [--before COMMIT] [--write]

Prints the table of ``docs/layout.md``, and with ``--write`` puts it there. Nothing is imported:
the source is read as text, so a commit whose packages have other names is measured as well.
"""

import argparse
import ast
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "layout.md"
BEFORE = "5730a2d"
"""The last commit with the layout that this one replaced."""

PACKAGES = ("maskstore", "hopfield", "supsup", "supsup_store")
"""In the direction of imports: each may import those before it."""

SLIVER = 60
"""Lines under which a file is one."""

Edges = dict[str, set[str]]


def checkout(root: Path) -> dict[str, Path]:
    """Package → its folder, in a checkout of this layout or of the one before it."""
    folders = {name: root / name for name in PACKAGES[:-1]}
    now = root / "cli" / PACKAGES[-1]
    return folders | ({PACKAGES[-1]: now} if now.is_dir() else {"cli": root / "cli"})


class Source:
    """The modules of packages, and what they import of each other.

    Args:
        folders: of each package.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.modules: dict[str, Path] = {}
        for package, folder in folders.items():
            for file in sorted(folder.rglob("*.py")):
                parts = (package, *file.relative_to(folder).with_suffix("").parts)
                self.modules[".".join(parts).removesuffix(".__init__")] = file

    def folder(self, module: str) -> str:
        """What a module counts as: its folder at the top of its package with all below that, or
        itself where it lies at the top."""
        return ".".join(module.split(".")[:2])

    def imports(self, module: str) -> Iterator[str]:
        """The modules that a module names in its imports, wherever in the code they stand."""
        file = self.modules[module]
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names if each.name in self.modules)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                for each in node.names:
                    found = f"{base}.{each.name}"
                    if (found := found if found in self.modules else base) in self.modules:
                        yield found

    def edges(self) -> Edges:
        """Folder → the other folders that it imports."""
        found: Edges = defaultdict(set)
        for module in self.modules:
            here = self.folder(module)
            found[here] |= {self.folder(other) for other in self.imports(module)} - {here}
        return dict(found)


def cycles(edges: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Folders that import each other in a circle, each circle with all that are in it."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            for other in edges.get(left.pop(), set()) - seen:
                seen.add(other)
                left.append(other)
        return seen

    below = {folder: reached(folder) for folder in edges}
    circles = {
        tuple(sorted(other for other in below[folder] if folder in below.get(other, set())))
        for folder in edges
        if folder in below[folder]
    }
    return sorted(circles)


def against_the_direction(edges: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Imports of a package by one that comes before it in :data:`PACKAGES`."""

    def rank(folder: str) -> int:
        package = folder.partition(".")[0]
        return PACKAGES.index(package) if package in PACKAGES else len(PACKAGES) - 1

    return sorted(
        (here, other)
        for here, others in edges.items()
        for other in others
        if rank(here) < rank(other)
    )


def figures(root: Path) -> dict[str, str]:
    """The rows of the table for the checkout in a folder."""
    folders = checkout(root)
    rows: dict[str, str] = {}
    for package, folder in folders.items():
        lines = [len(file.read_text("utf-8").splitlines()) for file in folder.rglob("*.py")]
        share = sum(n < SLIVER for n in lines) / len(lines)
        label = f"`{package}`" if package in PACKAGES[:-1] else "the command line"
        rows[f"{label}: lines"] = f"{sum(lines):,}"
        rows[f"{label}: files"] = str(len(lines))
        rows[f"{label}: files under {SLIVER} lines"] = f"{share:.0%}"
        rows[f"{label}: longest file, lines"] = str(max(lines))
    for package in ("supsup", "maskstore"):
        rows[f"folders and modules at the top of `{package}/`"] = str(entries(root / package))
    edges = Source(folders).edges()
    circles = cycles(edges)
    back = {
        (here, other)
        for circle in circles
        for here in circle
        for other in edges[here]
        if other in circle
    }
    rows["imports from one folder to another"] = str(sum(map(len, edges.values())))
    rows["of them within circles of folders"] = str(len(back))
    rows["of them against `supsup_store → supsup → hopfield → maskstore`"] = str(
        len(against_the_direction(edges))
    )
    return rows


def entries(package: Path) -> int:
    """Folders with code and modules, without ``__init__``, at the top of a package."""
    modules = sum(file.name != "__init__.py" for file in package.glob("*.py"))
    return modules + sum(any(each.rglob("*.py")) for each in package.iterdir() if each.is_dir())


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown with a line a row of the first column."""
    heads: Sequence[str] = ["", *columns]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * len(columns)]
    for row in next(iter(columns.values())):
        lines.append("| " + " | ".join([row, *(column[row] for column in columns.values())]) + " |")
    return "\n".join(lines)


def figures_of(commit: str) -> dict[str, str]:
    """:func:`figures` of a commit of this repository."""
    packed = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with TemporaryDirectory() as folder, tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
        return figures(Path(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=BEFORE, help="commit of the left column")
    parser.add_argument("--write", action="store_true", help="put the table into docs/layout.md")
    asked = parser.parse_args(arguments)
    made = table({"before": figures_of(asked.before), "now": figures(ROOT)})
    print(made)
    if asked.write:
        head, start, rest = PAGE.read_text("utf-8").partition("<!-- figures -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        if not (start and end):
            raise SystemExit(f"{PAGE}: the marks around the table are not there")
        PAGE.write_text(f"{head}{start}{made}\n{end}{tail}", "utf-8")


if __name__ == "__main__":
    main()
