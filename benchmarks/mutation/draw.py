"""Small faults put into a source: each is one place of its syntax tree, altered as text.

Left alone: docstrings and other text, annotations, decorators, what an error says, assertions, and
what only a type checker reads. Nothing in the tree is changed.
"""

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_ALIKE = {"isinstance", "issubclass", "cast"}
"""Calls whose arguments nobody swaps by mistake."""


@dataclass(frozen=True)
class Mutant:
    """Bytes ``start`` to ``end`` of ``file`` replaced by ``after``."""

    file: str
    function: str
    """Its qualified name, or "" for what is carried out on import."""
    line: int
    lines: tuple[int, int]
    """The first and last of its statement, or of the head of a compound one."""
    kind: str
    start: int
    end: int
    before: str
    after: str
    text: str
    """The source line that it begins in."""

    def applied(self, source: bytes) -> bytes:
        """The source with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]


class _Finder(ast.NodeVisitor):
    """Every mutant of one source."""

    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts
        self.names: list[str] = []
        self.functions = 0
        self.statement = (1, 1)
        self.found: list[Mutant] = []

    def add(self, kind: str, node: ast.expr | ast.stmt, new: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        before = self.source[start:end].decode()
        where = ".".join(self.names) if self.functions else ""
        # As many lines as before, so that what follows stays where it was.
        more = "\n" * before.count("\n")
        after = new + more if isinstance(node, ast.stmt) else f"({new}{more})"
        at = (self.file, where, node.lineno, self.statement, kind)
        text = self.source.splitlines()[node.lineno - 1].decode().strip()
        self.found.append(Mutant(*at, start, end, before, after, text))

    # --- where

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            end = node.end_lineno or node.lineno
            body = getattr(node, "body", None)
            if body and not isinstance(node, ast.FunctionDef | ast.ClassDef):
                end = max(node.lineno, body[0].lineno - 1)
            self.statement = (node.lineno, end)
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each)]
        for default in defaults:
            self.visit(default)
        self.names.append(node.name)
        self.functions += 1
        for each in node.body:
            self.visit(each)
        self.functions -= 1
        self.names.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        for each in node.body:
            self.visit(each)
        self.names.pop()

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Of our own invariants."""

    # --- what

    def visit_Compare(self, node: ast.Compare) -> None:
        for at, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                new = ast.Compare(node.left, ops, node.comparators)
                self.add("comparison", node, ast.unparse(new))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = _COMPUTED.get(type(node.op))
        if other:
            self.add("arithmetic", node, ast.unparse(ast.BinOp(node.left, other(), node.right)))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            self.add("arithmetic", node, ast.unparse(node.operand))
        elif isinstance(node.op, ast.Not):
            self.add("boolean", node, ast.unparse(node.operand))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add("boolean", node, ast.unparse(ast.BoolOp(other, node.values)))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add("constant", node, str(not node.value))
        elif isinstance(node.value, int):
            self.add("constant", node, str(node.value + 1))
        elif isinstance(node.value, float):
            self.add("constant", node, repr(node.value * 2 or 1.0))

    def visit_Call(self, node: ast.Call) -> None:
        first = node.args[:2]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if len(first) == 2 and name not in _ALIKE:
            same = ast.dump(first[0]) == ast.dump(first[1])
            if not same and not any(isinstance(each, ast.Starred) for each in first):
                swapped = ast.Call(node.func, [*first[::-1], *node.args[2:]], node.keywords)
                self.add("swapped argument", node, ast.unparse(swapped))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value and not (isinstance(value, ast.Constant) and value.value is None):
            self.add("return", node, "return None")
        self.generic_visit(node)

    def condition(self, node: ast.If | ast.While | ast.IfExp) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.add("boolean", node.test, f"not ({ast.unparse(node.test)})")
        self.generic_visit(node)

    visit_If = visit_While = visit_IfExp = condition

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add("removed statement", node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.add("removed statement", node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Attribute | ast.Subscript):
            self.add("removed statement", node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add("removed statement", node, "pass")
        other = _COMPUTED.get(type(node.op))
        if other:
            new = ast.AugAssign(node.target, other(), node.value)
            self.add("arithmetic", node, ast.unparse(new))
        self.generic_visit(node)

    def small(self, node: ast.Break | ast.Continue | ast.Delete) -> None:
        self.add("removed statement", node, "pass")

    visit_Break = visit_Continue = visit_Delete = small


def mutants_of(file: str, source: bytes) -> Iterator[Mutant]:
    """Every mutant of a source that still compiles to something else, in its order."""
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    whole = compile(source, file, "exec")
    for mutant in sorted(set(finder.found), key=lambda each: (each.start, each.end, each.after)):
        try:
            if compile(mutant.applied(source), file, "exec") == whole:
                continue
        except SyntaxError:
            continue
        yield mutant


def draw(root: Path, folders: dict[str, object], seed: int = 0) -> list[Mutant]:
    """Every mutant of the folders' sources, shuffled: a prefix of it is a fair draw."""
    found = [
        mutant
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        for mutant in mutants_of(path.relative_to(root).as_posix(), path.read_bytes())
    ]
    random.Random(seed).shuffle(found)
    return found
