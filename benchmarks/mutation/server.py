"""A process that has imported and collected every test, and forks for each mutant.

A mutant within a function costs its tests and no import: the code of the function is replaced in
the fork. What is carried out on import, and what numba compiles, is imported anew instead, in a
fork of a process that has imported everybody else's packages and none of this project's.
"""

import gc
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from benchmarks.mutation.draw import Mutant
from tests.sources import ROOT

OTHERS = (
    "numpy h5py zstandard bitarray constriction torch numba torch.func jaxtyping beartype scipy",
    "scipy.stats hypothesis hypothesis.stateful fsspec safetensors.torch PIL.Image",
    "matplotlib.figure torchvision",
)
_FUNCTION = 0x1 | 0x2
"""Flags of a function's code: those of a class or module lack them."""
_ARGUMENTS = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
_CALLERS = ("cpu",)
"""Modules whose functions call those of llvm.py."""
_MEMORY = 6 << 30


class NeedsImport(Exception):
    """The code of no living function is that of the mutant's."""


def module_of(file: str) -> str:
    """The name that a source is imported by."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all within it, in their order."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes(each)


def change_functions(mutant: Mutant, living: dict[str, list[FunctionType]]) -> None:
    """Put the mutant's code into the living functions that have the original's.

    Raises:
        NeedsImport: where there are none, or a name of an outer function is no longer used.
    """
    loader: Any = sys.modules[module_of(mutant.file)].__loader__
    path = str(ROOT / mutant.file)
    source = (ROOT / mutant.file).read_bytes()
    before = list(codes(loader.source_to_code(source, path)))
    after = list(codes(loader.source_to_code(mutant.applied(source), path)))
    if [each.co_name for each in before] != [each.co_name for each in after]:
        raise NeedsImport
    new = {
        old: changed
        for old, changed in zip(before, after, strict=True)
        if old != changed and old.co_flags & _FUNCTION == _FUNCTION
    }
    done = 0
    for function in living[path]:
        changed = new.get(function.__code__)
        if changed is not None:
            try:
                function.__code__ = changed
            except ValueError as error:
                raise NeedsImport from error
            done += 1
    if not done:
        raise NeedsImport


def import_changed(mutant: Mutant) -> None:
    """From now on the module is imported with the fault."""
    name, source = module_of(mutant.file), (ROOT / mutant.file).read_bytes()
    assert name not in sys.modules
    read: Callable[..., Any] = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> Any:
        if fullname == name:
            return loader.source_to_code(mutant.applied(source), str(ROOT / mutant.file))
        return read(loader, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


def copy_compiled(mutant: Mutant, cache: Path) -> None:
    """Let numba find the machine code of every module but the mutant's, and keep the new apart.

    It takes a function for the same if its instructions are, whatever its numbers. No module of
    kernels calls another's.
    """
    import numba

    numba.config.CACHE_DIR = tempfile.mkdtemp()
    if cache.exists():
        shutil.copytree(cache, numba.config.CACHE_DIR, dirs_exist_ok=True)
    stem = Path(mutant.file).stem
    stems = (f"{stem}.", *(f"{each}." for each in _CALLERS if stem == "llvm"))
    for path in Path(numba.config.CACHE_DIR).rglob("*.nb*"):
        if path.name.startswith(stems):
            path.unlink()


class First:
    """A pytest plugin: runs what was asked for in its order and keeps the first failure."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.order = {test: at for at, test in enumerate(tests)}
        self.failed: tuple[str, str] | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order),
            key=lambda item: self.order[item.nodeid],
        )

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid, str(report.longrepr)[-300:]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid, str(report.longrepr)[-300:]


Answer = tuple[str, str, str]
"""An outcome, the test that failed and what it said."""


def forked(work: Callable[[], Answer], seconds: float) -> Answer:
    """What ``work`` gives in a fork of this process; "timeout" where it is not done in time."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    ours, theirs = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            tempfile.tempdir = str(folder)
            os.environ["TMPDIR"] = str(folder)
            resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
            theirs.send(work())
        except BaseException as error:  # a mutant may do anything
            theirs.send(("caught", "", f"{type(error).__name__}: {error}"[:300]))
        finally:
            os._exit(0)
    theirs.close()
    try:
        # A fork that died says nothing: that is caught, too.
        answer = ours.recv() if ours.poll(seconds) else ("timeout", "", f"{seconds:.0f} s")
    except EOFError:
        answer = ("caught", "", "the process died")
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    return answer


class Server:
    """A pytest plugin that answers with what tests make of mutants instead of running them."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        living: dict[str, list[FunctionType]] = defaultdict(list)
        for each in gc.get_objects():
            if type(each) is FunctionType and each.__code__.co_filename.startswith(str(ROOT)):
                living[each.__code__.co_filename].append(each)
        gc.collect()
        gc.freeze()
        self.pipe.send(len(items))
        while True:
            asked: tuple[Mutant | None, list[str], float] | None = self.pipe.recv()
            if asked is None:
                return True
            mutant, tests, seconds = asked
            chosen = [items[test] for test in tests if test in items]

            def work(mutant: Mutant | None = mutant, chosen: list[pytest.Item] = chosen) -> Answer:
                try:
                    if mutant is None:
                        pass
                    elif "/kernels/" in mutant.file:
                        raise NeedsImport
                    elif module_of(mutant.file) in sys.modules:
                        change_functions(mutant, living)
                    else:
                        import_changed(mutant)
                except NeedsImport:
                    return "import", "", ""
                return self.run(session, chosen)

            self.pipe.send(forked(work, seconds))

    def run(self, session: pytest.Session, items: list[pytest.Item]) -> Answer:
        plugin = First([])
        session.config.pluginmanager.register(plugin)
        factory: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._basetemp = Path(tempfile.mkdtemp())
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if plugin.failed:
                return "caught", *plugin.failed
        return "survived", "", ""


def serve(pipe: Connection, files: Sequence[str]) -> None:
    """Collect the tests of the files and answer until None comes."""
    os.chdir(ROOT)
    pytest.main([*_ARGUMENTS, *files], plugins=[Server(pipe)])


def imported(mutant: Mutant | None, tests: Sequence[str], cache: Path | None) -> Answer:
    """What the tests make of a mutant that is imported: in a fork without this project's modules.

    Args:
        cache: of machine code, where the mutant is in what numba compiles.
    """
    if mutant:
        import_changed(mutant)
        if cache:
            copy_compiled(mutant, cache)
    plugin = First(tests)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    arguments = [*_ARGUMENTS, "-x", "--basetemp", tempfile.mkdtemp(), *files]
    code = pytest.main(arguments, plugins=[plugin])
    if plugin.failed:
        return "caught", *plugin.failed
    return ("survived", "", "") if code == 0 else ("caught", "", f"pytest ended with {code}")


def import_others() -> None:
    """Everybody else's packages, so that no fork pays for them."""
    for name in " ".join(OTHERS).split():
        with suppress(ImportError):
            importlib.import_module(name)
