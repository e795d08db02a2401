"""`report`: one page that needs nothing else, obeys no text of others, and loses nothing."""

import os
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from maskstore import InvalidInput, MaskArchive
from maskstore.stats import archive_stats, layer_stats
from supsup import SupSup
from supsup.report import write_report
from supsup.report.page import parse_metrics
from supsup.report.pictures import MOST_COMPARED, as_picture
from tests.maskstore.helpers import LAYOUT, random_masks

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}$ and $x",
    "\u202egnp.exe",
    "&lt;b&gt;",
    "javascript:alert(1)",
)
VOID = {"meta", "input", "img", "br", "link"}


class Page(HTMLParser):
    """Every element with its attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    def rows(self):
        return [attrs for tag, attrs in self.elements if tag == "td" and "data-value" in attrs]


def page_of(archive, out, **options):
    with MaskArchive.open(archive) as opened:
        size = write_report(opened, out, **options)
    assert size == out.stat().st_size
    return Page(out.read_text("utf-8"))


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.h5"
    with MaskArchive.create(path, LAYOUT) as made:
        for at in range(3):
            made.add(f"t/{at}", random_masks(at), {"metrics": {"accuracy": 0.5 + at / 10}})
    return path


def test_it_says_what_the_archive_has(archive, tmp_path, run):
    out = tmp_path / "r.html"
    before = archive.read_bytes()
    done = run("report", archive, "--out", out, "--json", "--quiet")
    assert done.json() == {"out": str(out), "tasks": 3, "bytes": out.stat().st_size}
    page = Page(out.read_text("utf-8"))
    assert not page.open
    cells = [each["data-value"] for each in page.rows()]
    with MaskArchive.open(archive) as opened:
        stats, layers = archive_stats(opened), layer_stats(opened)
        expected = [
            (str(task.index), task.name, str(0.5 + at / 10), str(task.ones / task.bits), task.codec)
            for at, task in enumerate(opened)
        ]
    width = len(cells) // 3
    assert [tuple(cells[at * width :][:5]) for at in range(3)] == expected
    for layer in layers:
        assert layer.name in page.texts
        assert f"{layer.density:.4f}" in page.texts
    assert f"{stats.bytes_per_task:,.0f}" in page.texts
    assert archive.read_bytes() == before


def test_it_needs_no_network_and_runs_one_script(archive, tmp_path):
    page = page_of(archive, tmp_path / "r.html")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(tags)
    for tag, attrs in page.elements:
        for name in {"src", "href", "xlink:href", "action", "data", "srcset"} & attrs.keys():
            assert attrs[name].startswith(("#", "data:image/png;base64,")), (tag, attrs)
    policy = dict(page.elements)["meta"].get("content")
    assert "default-src 'none'" in policy
    assert "unsafe-inline'; script" not in policy.split("script-src")[1]


def test_text_of_others_is_shown_and_not_obeyed(tmp_path, monkeypatch):
    # As a forger may write it: what the writer itself refuses, too.
    monkeypatch.setattr("maskstore.writer.parse_name", lambda name, *_: name.encode())
    path = tmp_path / "<i>a.h5"
    with MaskArchive.create(path, {"<b>w": (5, 16)}, backbone={"net": HOSTILE[0]}) as made:
        for name in HOSTILE:
            masks = {"<b>w": np.ones((5, 16), bool)}
            made.add(name, masks, {"metrics": {"accuracy": HOSTILE[1]}})
    page = page_of(path, tmp_path / "r.html")
    clean = page_of(_clean(tmp_path), tmp_path / "clean.html")
    # Whatever the names are: no element and no attribute more or other than with harmless ones.
    assert [(tag, sorted(attrs)) for tag, attrs in page.elements] == [
        (tag, sorted(attrs)) for tag, attrs in clean.elements
    ]
    text = "".join(page.texts)
    for name in HOSTILE:
        assert name.replace("\u202e", "\ufffd") in text
    assert "\u202e" not in text
    assert "<i>a.h5" in text


def _clean(folder):
    path = folder / "clean.h5"
    with MaskArchive.create(path, {"w": (5, 16)}, backbone={"net": "net"}) as made:
        for at in range(len(HOSTILE)):
            made.add(f"t{at}", {"w": np.ones((5, 16), bool)}, {"metrics": {"accuracy": "high"}})
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--out", "r.txt"), "expected a page"),
        (("--out", "none/r.html"), "no folder none"),
        (("--out", "there.html"), "--force"),
        (("--out", "r.html", "--metrics", "there.html"), "not JSON"),
        (("--out", "r.html", "--metrics", "none.json"), "none.json: cannot be read"),
        (("--out", "r.html", "--metrics", "list.json"), "expected what `eval --metrics --json`"),
        (("--out", "r.html", "--metrics", "other.json"), "expected tasks and a square"),
        (("--out", "r.html", "--memory", "none.h5"), "none.h5"),
        (("--out", "r.html", "--memory", "a.h5"), "a.h5"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    archive, run, arguments, says, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("kept")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "other.json").write_text('{"tasks": ["a"], "accuracy_matrix": [[1, 2]]}')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("maskstore.MaskArchive.get_packed", None)  # no mask is read
    done = run("report", archive.name, *arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_accuracy_matrix_is_that_of_eval():
    document = {"tasks": ["a", "b"], "accuracy_matrix": [[0.5, None], [0.25, 1]]}
    for given in (document, {"metrics": document}):
        names, matrix = parse_metrics(given)
        assert names == ("a", "b")
        np.testing.assert_array_equal(matrix, [[0.5, np.nan], [0.25, 1.0]])
    with pytest.raises(InvalidInput, match="square accuracy_matrix"):
        parse_metrics({"metrics": None})


def test_a_memory_shows_how_each_mask_is_recovered(run, tmp_path):
    path, memory = tmp_path / "a.h5", tmp_path / "m.h5"
    with SupSup.create(path, "bn-2048", outputs=4, width=16) as model:
        model.train("split-mnist-sample", count=2, steps=2, quiet=True)
        model.report(tmp_path / "without.html")
    assert run("encode", path, "--out", memory, "--quiet").code == 0
    assert run("report", path, "--out", tmp_path / "r.html", "--memory", memory).code == 0
    ids = [attrs.get("id") for _, attrs in Page((tmp_path / "r.html").read_text()).elements]
    assert [each for each in ids if each and each.startswith("recovery-")] == [
        "recovery-0",
        "recovery-1",
    ]
    assert 'id="recovery-' not in (tmp_path / "without.html").read_text()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((30, 784), (28, 28)), ((30, 3 * 64), (8, 8)), ((30, 10), (30, 10)), ((4, 3, 5, 5), (4, 75))],
)
def test_a_layer_as_a_picture(shape, size):
    mask = np.random.default_rng(0).random(shape) < 0.3
    picture = as_picture(mask)
    assert picture.shape == size
    assert np.isclose(picture.mean(), mask.mean())


def test_a_mask_without_inputs_is_folded():
    picture = as_picture(np.ones(10, bool))
    assert picture.shape == (4, 3)
    assert np.nansum(picture) == 10


def test_of_many_tasks_the_overlap_is_of_some(tmp_path):
    path = tmp_path / "many.h5"
    with MaskArchive.create(path, {"w": (2, 8)}) as made:
        for at in range(MOST_COMPARED + 50):
            made.add(str(at), {"w": np.arange(16).reshape(2, 8) == at % 16})
    page = page_of(path, tmp_path / "r.html")
    assert len(page.rows()) % (MOST_COMPARED + 50) == 0
    assert any(f"Of {MOST_COMPARED} of {MOST_COMPARED + 50} tasks" in each for each in page.texts)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_a_browser_runs_its_script_in_spite_of_its_policy(archive, tmp_path):
    out = tmp_path / "r.html"
    page_of(archive, out)
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
    done = subprocess.run(
        ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", out.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert "3 of 3" in done.stdout  # which only the script says
    assert "3 of 3" not in out.read_text("utf-8")
