"""The documentation site builds without a warning, and every link within it leads somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.sources import ROOT

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(
    not (DOCS / "conf.py").exists(), reason="the site's sources are not here"
)


class Page(HTMLParser):
    """The anchors of a page, and where it points."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = dict(attributes)
        self.anchors |= {value for key in ("id", "name") if (value := told.get(key))}
        self.links |= {value for key in ("href", "src") if (value := told.get(key))}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The whole site, built as its configuration says, in a folder of its own."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    build = ("-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-d", out / "trees", DOCS)
    offline = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    run = subprocess.run(
        [sys.executable, *map(str, build), str(out / "html")],
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    found = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path: Page(path.read_text("utf-8")) for path in found}


def dead_links(pages: dict[Path, Page]) -> list[str]:
    """Links within the site whose file or anchor is not there."""
    dead = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            there = target.exists() and (
                not url.fragment
                or target not in pages
                or unquote(url.fragment) in pages[target].anchors
            )
            if not there:
                dead.append(f"{path.name}: {link}")
    return dead


def test_every_page_is_built(site, pages):
    sources = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    assert sources <= {path.relative_to(site).with_suffix("") for path in pages}


def test_links_within_the_site_lead_somewhere(pages):
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert dead_links(pages) == []


def test_a_dead_link_is_seen(tmp_path):
    text = '<a href="#here">1</a><a href="gone.html">2</a><a href="#gone" id="here">3</a>'
    (tmp_path / "page.html").write_text(text)
    page = (tmp_path / "page.html").resolve()
    assert sorted(dead_links({page: Page(text)})) == ["page.html: #gone", "page.html: gone.html"]


def test_nothing_is_loaded_from_elsewhere(pages):
    """The site is readable without a network."""
    loaded = [
        line
        for path in pages
        for line in path.read_text("utf-8").split("<")
        if line.startswith(("script", "link", "img")) and ('src="http' in line)
    ]
    assert loaded == []


def test_every_command_and_option_is_in_the_reference(site):
    from typer.main import get_command

    from supsup_store.app import app

    text = (site / "reference" / "commands.html").read_text("utf-8")
    names_and_texts = re.split(r'<section id="([a-z-]+)">', text)[1:]
    sections = dict(zip(names_and_texts[::2], names_and_texts[1::2], strict=True))
    commands = get_command(app).commands
    assert len(commands) > 15
    for name, command in commands.items():
        shown = Page(sections[name])
        names = {option for each in command.params for option in each.opts if option[0] == "-"}
        assert names - {"--help"} <= set(re.findall(r"--?[a-z][a-z-]*", shown.text)), name


def test_every_public_name_of_the_libraries_is_in_the_reference(site, pages):
    import hopfield
    import maskstore
    import supsup

    anchors = {anchor for page in pages.values() for anchor in page.anchors}
    for package in (maskstore, hopfield, supsup):
        for name in package.__all__:
            value = getattr(package, name)
            if isinstance(value, type) or hasattr(value, "__code__"):
                assert f"{package.__name__}.{name}" in anchors


SHOWN = {
    "find-the-task": ("<progress", "<table>", 'alt="the first images"', ".svg"),
    "archive-and-hopfield": ("<progress", "<table>", 'alt="the first images"', "MaskMemory"),
}
"""Notebook → what its cells show: a bar, tables, images, a plot."""


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_shows_bars_tables_and_pictures(site, name):
    page = (site / "notebooks" / f"{name}.html").read_text("utf-8")
    outputs = "".join(page.split('<div class="cell_output')[1:])
    assert not [each for each in SHOWN[name] if each not in outputs]
    assert "stderr" not in outputs
    assert "Traceback" not in page


def test_every_notebook_is_looked_at():
    assert {path.stem for path in (DOCS / "notebooks").iterdir()} == {"index", *SHOWN}
