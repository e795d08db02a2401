"""Every documented command and example is run as it is written."""

import ast
import re
import runpy
import sys
from typing import Any

import numpy as np
import pytest

from maskstore import MaskArchive
from tests.pages import run_page, snippets_of
from tests.sources import PACKAGES, ROOT, in_checkout

README = ROOT / "README.md"
RUN_ELSEWHERE = {
    "tutorial.md": "tests/test_walk.py",
    "extending.md": "tests/test_extending.py",
    "any-module.md": "its own test",
}
"""Pages whose snippets have a test of their own."""

PAGES = [
    page
    for page in sorted(ROOT.glob("docs/**/*.md"))
    if page.name not in RUN_ELSEWHERE and snippets_of(page)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run_in_order(page, tmp_path, monkeypatch, capfd):
    run_page(page, tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash\nsupsup-store list none.h5\n```\n", "page.md, line 2: list none.h5: exit code 1"),
        ("<!-- not run: far -->\n```bash\nsupsup-store list --gone\n```\n", "line 3: .*gone"),
        ("```bash\nrm none.h5\n```\n", "rm: a snippet may only run supsup-store"),
        ("```python\nx = 1\n```\n\n```python\nassert x == 2, 'no'\n```\n", "no"),
        ("```python\nprint('4 ducks')\n```\n\n```text\n5 ducks\n```\n", "said to print '5 ducks'"),
    ],
)
def test_a_snippet_that_fails_is_seen(text, message, tmp_path, monkeypatch, capfd):
    (tmp_path / "page.md").write_text(text)
    with pytest.raises((pytest.fail.Exception, ValueError, AssertionError), match=message):
        run_page(tmp_path / "page.md", tmp_path, monkeypatch, capfd)


def test_snippets_share_a_folder_and_what_is_far_away_is_only_parsed(tmp_path, monkeypatch, capfd):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# my_page_module.py\nducks = 4\n```\n"
        "```python\nimport my_page_module\nprint(my_page_module.ducks, 'ducks in 1.5 s')\n```\n"
        "```text\n4 ducks in 9 s\n```\n"
        "<!-- not run: far -->\n```bash\nsupsup-store list s3://gone/none.h5\n```\n"
    )
    run_page(page, tmp_path, monkeypatch, capfd)
    assert "my_page_module" not in sys.modules


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_reader_in_the_docs_reads_the_golden_archive(version):
    """With nothing of this project, as it says."""
    first, second, *_ = snippets_of(ROOT / "docs" / "howto" / "another-language.md")
    reader = first.text + second.text
    assert not any(package in reader for package in PACKAGES)
    assert len([line for line in first.text.splitlines() if line]) <= 15
    names: dict[str, Any] = {}
    exec(compile(reader, "another-language.md", "exec"), names)
    golden = ROOT / "tests" / "golden" / f"{version}.h5"
    layers, masks = names["read_masks"](golden)
    with MaskArchive.open(golden) as archive:
        assert sorted(masks) == sorted(archive.names())
        for name, packed in masks.items():
            mask, expected = names["unpack"](layers, packed), archive.get(name)
            assert list(mask) == list(expected)
            assert all(np.array_equal(mask[layer], expected[layer]) for layer in expected)


LAZY = {"iter_train_into", "train"}
"""Generators: as a plain statement they would do nothing."""


def statements_that_do_nothing(source: str) -> list[int]:
    """Lines on which a generator is called and what it gives is dropped."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(call := node.value, ast.Call)
        and (call.func.id if isinstance(call.func, ast.Name) else "") in LAZY
    ]


def test_no_document_drops_what_a_generator_would_train():
    assert statements_that_do_nothing("x = 1\ntrain(backbone, tasks, config)") == [2]
    assert not statements_that_do_nothing("train_into(archive, backbone, tasks, config)")
    pages = [README.read_text(), *(path.read_text() for path in ROOT.glob("docs/**/*.md"))]
    sources = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page, re.S)]
    sources += [path.read_text() for path in ROOT.glob("examples/*.py")]
    sources += [path.read_text() for path in ROOT.glob("benchmarks/*.py")]
    assert len(sources) > 5
    assert not [source for source in sources if statements_that_do_nothing(source)]


def test_links_in_documents_lead_somewhere():
    for page in [README, *ROOT.glob("docs/**/*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            near = (page.parent / target).resolve()
            here = in_checkout(str(near.relative_to(ROOT))) if near.is_relative_to(ROOT) else near
            assert here.exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
