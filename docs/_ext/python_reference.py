"""The Python reference, made from what the packages export and from their docstrings.

A page says ``<!-- names of supsup.tasks -->`` where the names of that module belong. A name that
several modules export is documented once, in the first of HOMES, and every mention of it leads
there.
"""

import importlib
import inspect
import re
from functools import cache
from types import ModuleType
from typing import Any

from sphinx import addnodes

HOMES = (
    "maskstore",
    "maskstore.bits",
    "maskstore.testing",
    "hopfield",
    "supsup",
    "supsup.tasks",
    "supsup.datasets",
    "supsup.networks",
    "supsup.masking",
    "supsup.training",
    "supsup.archives",
    "supsup.inference",
    "supsup.evaluation",
    "supsup.recovery",
    "supsup.task_free",
    "supsup.checkpoints",
    "supsup.cluster",
    "supsup.baselines",
    "supsup.figures",
    "supsup.plots",
)
MARK = re.compile(r"<!-- names of ([a-z_.]+) -->")


@cache
def homes() -> dict[str, list[str]]:
    """For each module of HOMES, the classes and functions that are documented there."""
    seen: set[int] = set()
    found: dict[str, list[str]] = {}
    for home in HOMES:
        found[home] = []
        module = importlib.import_module(home)
        for name in _public(module):
            value = getattr(module, name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and id(value) not in seen:
                seen.add(id(value))
                found[home].append(name)
    return found


def names_rst(home: str) -> str:
    """The autodoc directives for all names of a module."""
    module = importlib.import_module(home)
    lines = []
    for name in homes()[home]:
        is_class = inspect.isclass(getattr(module, name))
        lines.append(f".. auto{'class' if is_class else 'function'}:: {home}.{name}")
        lines += ["   :members:", "   :show-inheritance:"] if is_class else []
        lines.append("")
    return "\n".join(lines)


def _public(module: ModuleType) -> list[str]:
    here = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return list(getattr(module, "__all__", here))


@cache
def _documented() -> dict[int, str]:
    """Where each documented object is: by identity, as it has several names."""
    return {
        id(getattr(importlib.import_module(home), name)): f"{home}.{name}"
        for home, names in homes().items()
        for name in names
    }


def _fill(app: Any, page: str, source: list[str]) -> None:
    source[0] = MARK.sub(lambda m: f"```{{eval-rst}}\n{names_rst(m[1])}\n```", source[0])


def _resolve(app: Any, env: Any, node: Any, text: Any) -> Any:
    """A mention by another of an object's names leads to where it is documented.

    What is not documented here (types of other packages, what is not exported) stays text; that
    roles name what exists is tested by ``tests/test_names.py``.
    """
    if node.get("refdomain") != "py":
        return None
    value, rest = _find(node["reftarget"], node.get("py:module"), node.get("py:class"))
    where = _documented().get(id(value))
    if where is None:
        return text
    target = ".".join([where, *rest])
    domain = env.get_domain("py")
    page = node.get("refdoc", app.env.docname)
    return domain.resolve_xref(env, page, app.builder, "obj", target, node, text) or text


def _take_types_at_their_word(app: Any, tree: Any) -> None:
    """A type such as torch.device is not looked for among all attributes called device."""
    for node in tree.findall(addnodes.pending_xref):
        if node.get("refdomain") == "py" and node.get("reftype") in ("class", "exc", "obj"):
            node.attributes.pop("refspecific", None)


def _find(target: str, module: str | None, within: str | None) -> tuple[Any, list[str]]:
    """The object that a dotted name means, and the names of its members that follow."""
    full = [target, *(f"{prefix}.{target}" for prefix in (module, within) if prefix)]
    for name in full:
        parts = name.split(".")
        for stop in range(len(parts) - 1, 0, -1):
            try:
                owner = importlib.import_module(".".join(parts[:stop]))
            except ImportError:
                continue
            if hasattr(owner, parts[stop]):
                return getattr(owner, parts[stop]), parts[stop + 1 :]
    return None, []


def _prepare(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Docstrings as reStructuredText: bars are bars, and each error that is raised has its line."""
    prepared, raises = [], False
    for line in lines:
        if re.match(r"\S", line):
            raises = line.strip() == "Raises:"
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``)", line)
            line = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in parts)
        several = re.match(r"(\s+)(\w+(?:, \w+)+): (.*)", line) if raises else None
        if several:
            prepared += [f"{several[1]}{each}: {several[3]}" for each in several[2].split(", ")]
        else:
            prepared.append(line)
    lines[:] = prepared


def _skip(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """The fields of a named tuple are told by its docstring."""
    return True if type(value).__name__ == "_tuplegetter" else None


def setup(app: Any) -> dict[str, bool]:
    """Fill the pages that have marks."""
    app.connect("source-read", _fill)
    app.connect("doctree-read", _take_types_at_their_word)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-docstring", _prepare, priority=100)  # before napoleon
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
