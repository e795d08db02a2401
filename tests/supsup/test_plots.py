"""One style: colours by method, the same look for every plot, drawn in one place."""

import html
import re

import matplotlib as mpl
import numpy as np
import pytest

from hopfield import RULES as HOPFIELD_RULES
from maskstore.codecs import BY_NAME
from maskstore.errors import ArchiveWriteError, InvalidInput
from maskstore.notebook import one_line
from maskstore.queries import Overlap
from supsup.baselines import BASELINES
from supsup.inference import METHODS
from supsup.plots import (
    COLOURS,
    colour_of,
    curve_styles,
    draw_overlap,
    drawing,
    in_percent,
    plot_curve,
    plot_overlap,
    svg_of,
)
from supsup.training.config import OPTIMIZERS
from tests.pictures import faults
from tests.sources import ROOT, folder_of

FAMILIES = {
    "baselines": ["supsup", *BASELINES],
    "methods": list(METHODS),
    "codecs": [*BY_NAME, "auto"],
    "hopfield": list(HOPFIELD_RULES),
    "optimizers": list(OPTIMIZERS),
}


@pytest.mark.parametrize("members", FAMILIES.values(), ids=FAMILIES)
def test_every_member_of_a_family_has_a_colour_of_its_own(members):
    styles = curve_styles(members)
    assert len({style["color"] for style in styles.values()}) == len(members)
    assert len({style["marker"] for style in list(styles.values())[:8]}) == min(8, len(members))


@pytest.mark.parametrize(
    ("label", "method"),
    [
        ("SupSup (GNu, H)", "supsup"),
        ("SupSup Transfer (mean of masks)", "supsup transfer"),
        ("SupSup Transfer (mean of scores)", "supsup transfer mean of scores"),
        ("PSP (GG)", "psp"),
        ("psp-rotation", "psp rotation"),
        ("separate heads, random W", "separate heads random"),
        ("upper-bound", "upper bound"),
        ("one-shot, entropy, batch", "one shot"),
        ("rmsprop 0.0001 constant", "rmsprop"),
        ("s = 25, H", None),
        ("binary-ish", "binary"),
        ("modernised", None),
        ("", None),
    ],
)
def test_a_label_has_the_colour_of_its_method(label, method):
    assert colour_of(label) == (COLOURS[method] if method else None)


def test_curves_of_one_panel_are_told_apart():
    labels = ["SupSup (GNu, H)", "SupSup (GNu, G)", "s = 5", "s = 6", "EWC"]
    looks = curve_styles(labels)
    assert list(looks) == labels
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == len(labels)
    assert looks[labels[0]]["color"] == looks[labels[1]]["color"]


def test_the_style_is_that_of_the_block_only(tmp_path):
    before = dict(mpl.rcParams)
    with drawing(tmp_path / "a.png", (2.0, 1.0)) as figure:
        axes = figure.subplots()
        axes.plot([1, 2])
        assert not axes.spines["top"].get_visible()
        assert axes.xaxis.get_gridlines()[0].get_alpha() == 0.3
    assert dict(mpl.rcParams) == before
    width = int.from_bytes((tmp_path / "a.png").read_bytes()[16:20], "big")
    assert width == 300  # 150 dots an inch


def test_what_cannot_be_drawn(tmp_path):
    drawn = []
    with pytest.raises(InvalidInput, match="cannot draw there"), drawing(tmp_path / "a.xyz"):
        drawn.append("a.xyz")
    assert not drawn
    missing = tmp_path / "none" / "a.png"
    with pytest.raises(ArchiveWriteError, match="cannot save the plot"), drawing(missing):
        drawn.append("none")
    with pytest.raises(ZeroDivisionError), drawing(tmp_path / "a.png"):
        drawn.append(1 / 0)
    assert not drawn  # what cannot be saved is not drawn first
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["supsup", "hopfield", "supsup_store", "benchmarks", "examples"])
def test_only_one_module_sets_colours_sizes_and_files_of_plots(place):
    folder = ROOT / place if (ROOT / place).is_dir() else folder_of(place)
    own = re.compile(r"FigureCanvas|savefig|pyplot|\bFigure\(|dpi=|['\"]#[0-9a-fA-F]{6}|\"C\d\"")
    found = {
        f"{file.relative_to(folder)}: {match}"
        for file in folder.rglob("*.py")
        for match in own.findall(file.read_text("utf-8"))
        if file != folder_of("supsup") / "plots.py"
    }
    assert not found


@pytest.mark.parametrize("name", ["$\\frac{1}$", "a $ b $ c", "$x$", "one\ntwo", "<&>", "漢字"])
def test_a_name_is_drawn_as_it_is(name, tmp_path):
    overlap = Overlap(names=(name,), layer=name, both=np.ones((1, 1), np.int64))
    plot_overlap(overlap, tmp_path / "a.svg")
    text = html.unescape(svg_of(lambda figure: draw_overlap(figure, overlap)))
    assert text.count(f">{one_line(name)}<") == 2  # on both axes
    assert "currentColor" in text
    assert "http" not in re.sub(r"xmlns(:xlink)?=\S+", "", text)


def crowded(figure):
    axes = figure.subplots()
    axes.plot([0, 1], [1, 0], label="a")
    axes.plot([], [], label="never drawn")
    axes.annotate("one", (0.5, 0.2))
    axes.annotate("over it", (0.5, 0.2))
    axes.legend(loc="upper left")
    axes.set_ylabel("accuracy")


def clean(figure):
    axes = figure.subplots()
    axes.plot([0, 1], [0.1, 0.9], label="a")
    axes.legend(loc="upper left")
    in_percent(axes.yaxis, "accuracy")


@pytest.mark.parametrize(
    ("draw", "found"),
    [
        (
            crowded,
            ["'one' is over 'over it'", "the key is over 'a'",
             "'never drawn' is in the key and has no point",
             "'accuracy' is told in fractions, not in percent"],
        ),
        (clean, []),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_picture_is_seen(tmp_path, draw, found):
    with drawing(tmp_path / "a.svg") as figure:
        draw(figure)
        assert faults(figure) == found


def test_the_same_picture_is_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        with drawing(str(tmp_path / name)) as figure:
            clean(figure)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ">accuracy, %" not in (tmp_path / "a.svg").read_text("utf-8")  # outlines: any viewer's


def test_a_band_is_drawn_where_there_are_seeds(tmp_path):
    with drawing(tmp_path / "a.svg") as figure:
        axes = figure.subplots()
        style = curve_styles(["a"])["a"]
        plot_curve(axes, [1, 2], [0.5, 0.6], [0.1, 0.0], label="a", style=style)
        plot_curve(axes, [1, 2], [0.5, 0.6], [0.0, 0.0], label="b", style=style)
        (band,) = axes.collections
        assert band.get_paths()[0].get_extents().bounds == pytest.approx((1, 0.4, 1, 0.2))
