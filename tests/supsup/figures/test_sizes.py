from dataclasses import replace

import pytest

from maskstore.errors import InvalidInput
from supsup.figures import FIGURES
from supsup.figures.base import counts_up_to
from supsup.figures.sizes import Sizes, family_at_hand

SIZES = Sizes(dataset="permuted-mnist", tasks=250, net="lenet-300-100", outputs=(100,), steps=1000)


def test_differences_name_what_was_changed():
    ours = replace(SIZES, tasks=10, images=64, outputs=(25, 100))
    assert ours.differences(SIZES) == [
        "tasks: 10 here, 250 in the paper",
        "outputs: 25, 100 here, 100 in the paper",
        "images: 64 here, all in the paper",
    ]
    assert replace(SIZES, tasks=2500).differences(SIZES) == ["tasks: 2,500 here, 250 in the paper"]
    assert SIZES.differences(SIZES) == []


def test_differences_are_from_the_panel_on_that_network():
    figure = FIGURES["permuted-mnist"]
    right = replace(figure.paper, net="fc-1024-1024", outputs=(500,))
    for panel in (figure.paper, right):
        assert figure.differences(panel) == list(figure.other)
        assert figure.differences(replace(panel, tasks=25)) == [
            "tasks: 25 here, 250 in the paper",
            *figure.other,
        ]
    other = figure.differences(replace(right, net="bn-2048"))
    assert other[:2] == [
        "net: bn-2048 here, lenet-300-100 in the paper",
        "outputs: 500 here, 100 in the paper",
    ]
    assert FIGURES["outputs"].differences(replace(FIGURES["outputs"].paper, net=right.net)) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tasks": 0}, "tasks: expected at least 1"),
        ({"steps": -1}, "steps: expected at least 1"),
        ({"images": 0}, "images: expected at least 1"),
        ({"outputs": ()}, "outputs"),
        ({"outputs": (0,)}, "outputs"),
        ({"outputs": (25, 25)}, "outputs: expected different ones"),
        ({"seeds": (1, 1)}, "seeds: expected different ones"),
        ({"seeds": (-1,)}, "seed"),
    ],
)
def test_bad_sizes(changed, message):
    with pytest.raises(InvalidInput, match=message):
        replace(SIZES, **changed)


def test_one_output():
    assert SIZES.one_output == 100
    with pytest.raises(InvalidInput, match="takes one"):
        replace(SIZES, outputs=(25, 100)).one_output  # noqa: B018


def test_counts_end_with_all_tasks():
    assert counts_up_to(1) == (1,)
    assert counts_up_to(2) == (2,)
    assert counts_up_to(12) == (2, 5, 10, 12)
    assert counts_up_to(250) == (2, 5, 10, 25, 50, 100, 250)


def test_the_digits_of_the_package_where_there_are_no_others(tmp_path, monkeypatch):
    monkeypatch.delenv("SUPSUP_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    assert family_at_hand("split", None) == "split-mnist-sample"
    assert family_at_hand("split", tmp_path) == "split-mnist"  # where it was told to look


def test_the_full_set_where_it_is(mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    monkeypatch.setenv("SUPSUP_DATA", str(mnist_dir))
    assert family_at_hand("rotated", None) == "rotated-mnist"
    for file in list(mnist_dir.iterdir())[:3]:  # one of the four is missing
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setenv("SUPSUP_DATA", str(tmp_path))
    assert family_at_hand("rotated", None) == "rotated-mnist-sample"
