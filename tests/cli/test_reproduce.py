"""reproduce in miniature; what the figures measure is tested in tests/supsup/figures."""

import json

import pytest

from hopfield import pattern_of
from maskstore import MaskArchive
from supsup.figures import FIGURES

TINY = ("--dataset", "split-mnist-sample", "--tasks", "2", "--steps", "20", "--quiet")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


def test_every_figure_has_a_name_and_smaller_sizes():
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert figure.small.tasks <= figure.paper.tasks
        assert figure.small.dataset == f"{figure.rule}-mnist-sample"


def test_hopfield(run, out):
    plot = out / "else.png"
    found = run("reproduce", "hopfield", *TINY, "--out", out, "--plot", plot, "--json").json()
    assert found == json.loads((out / "hopfield.json").read_text())
    assert (found["figure"], found["plot"]) == ("hopfield", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert found["sizes"]["tasks"] == 2
    assert "tasks: 2 here, 5 in the paper" in found["differences"]
    assert "net" not in " ".join(found["differences"])
    (path,) = out.glob("split-mnist-sample-2-*.h5")
    with MaskArchive.open(path) as archive:
        first, second = (pattern_of(archive.get(name), archive.layout) for name in archive.names())
    for task in ("split-mnist/0", "split-mnist/1"):
        rows = [row for row in found["rows"] if row["curve"] == task]
        assert [row["step"] for row in rows] == list(range(len(rows)))
        assert rows[-1]["hamming"] == 0
        # It begins at the mean of the two, whose signs are right where they agree.
        assert 0 < rows[0]["hamming"] <= (first != second).sum()


def test_hopfield_seeds_from_the_same_archive(run, out):
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    found = run("reproduce", "hopfield-seeds", *TINY, "--seed", "0", "--out", out)
    assert "tasks: 2 here, 5 in the paper" in found.out
    document = json.loads((out / "hopfield-seeds.json").read_text())
    assert [(row["seed"], row["task"]) for row in document["rows"]] == [
        (0, "split-mnist/0"),
        (0, "split-mnist/1"),
    ]
    for row in document["rows"]:
        assert row["explicit_accuracy"] == row["hopfield_accuracy"] > 0.8
        assert row["exact"] is True
    assert (out / "hopfield-seeds.png").read_bytes().startswith(b"\x89PNG")
    assert len(before) == 1
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_one_seed_is_a_seed(run, tmp_path):
    arguments = ("--tasks", "2", "--steps", "2", "--outputs", "12,14", "--images", "10")
    found = run("reproduce", "outputs", *arguments, "--seed", "3", "--out", tmp_path)
    assert found.code == 0, found.err
    sizes = json.loads((tmp_path / "outputs.json").read_text())["sizes"]
    assert (sizes["seeds"], sizes["outputs"]) == ([3], [12, 14])
    assert "s = 12, H" in found.out
    assert (tmp_path / "outputs.png").exists()


def test_errors_are_one_line(run, tmp_path):
    where = ("--out", tmp_path)
    for arguments, message in (
        (("figure-3",), "expected one of permuted-mnist, rotated-mnist"),
        (("hopfield", "--seeds", "a"), "--seeds"),
        (("hopfield", "--outputs", "10,20"), "takes one"),
        (("hopfield", "--tasks", "0"), "tasks"),
        (("hopfield", "--tasks", "6"), "1 to 5 tasks"),
        (("transfer", "--tasks", "1"), "at least 2"),
        (("nns", "--net", "lenet"), "lenet"),
        (("nns", "--dataset", "permuted-nothing"), "permuted-nothing"),
        (("hopfield", "--device", "nowhere"), "nowhere"),
        (("rotated-mnist", "--dataset", "permuted-mnist-sample"), "begins with rotated-, or leave"),
        (("hopfield", "--dataset", "rotated-mnist-sample"), "--dataset rotated-mnist-sample"),
        (("hopfield", "--dataset", "split-folder"), "train --dataset split-folder --data PATH"),
        (("hopfield", "--images", "50"), "--images 50: figure hopfield takes test sets whole"),
        (("hopfield-seeds", "--images", "50"), "--images 50"),
        (("bytes", "--images", "50"), "--images 50"),
        (("transfer", "--images", "50"), "--images 50"),
        (("hopfield", "--plot", "a.xyz"), "a.xyz: cannot draw there"),
    ):
        result = run("reproduce", *arguments, *where, "--quiet")
        assert (result.code, result.out) == (1, ""), arguments
        assert len(result.err.splitlines()) == 1, result.err
        assert message in result.err
    assert not list(tmp_path.iterdir())  # nothing was trained
    (tmp_path / "file").touch()
    result = run("reproduce", "hopfield", "--out", tmp_path / "file" / "below")
    assert "cannot make the folder" in result.err
