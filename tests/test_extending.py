"""docs/extending.md: every example runs as it is written, and is short."""

import re

import numpy as np
import pytest

from maskstore import MaskArchive, codecs
from maskstore.codecs.raw import RawCodec
from maskstore.errors import ArchiveError, InvalidInput
from maskstore.registry import Registry
from supsup.baselines import BASELINES
from supsup.datasets import SOURCES
from supsup.inference import METHODS
from supsup.masking import RULES
from supsup.tasks import families
from tests.sources import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"\n## (.*?)\n.*?```python\n(.*?)```", PAGE, re.S))
TABLES = (codecs.BY_NAME, METHODS, RULES, families.RULES, SOURCES, BASELINES)


@pytest.fixture(autouse=True)
def tables_as_before(monkeypatch):
    """What is registered here is gone afterwards."""
    monkeypatch.setattr(codecs, "BY_ID", codecs.BY_ID.copy())
    for table in TABLES:
        monkeypatch.setattr(table, "_members", table._members.copy())


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_example_runs(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = [len(table) for table in TABLES]
    example = EXAMPLES[heading]
    exec(compile(example, f"docs/extending.md, {heading}", "exec"), {"__name__": "example"})
    assert sum(len(table) for table in TABLES) == sum(before) + 1
    assert "assert " in example


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_member_itself_is_short(heading):
    (body,) = re.findall(r"\n((?:@|class |def ).*?)\n\n\n?(?:\w)", EXAMPLES[heading], re.S)
    lines = [line for line in body.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 13, body


def test_every_family_has_an_example():
    rows = re.findall(r"^\| ([a-z ]+) \| `", PAGE, re.M)
    assert {heading.removeprefix("A ").removeprefix("An ") for heading in EXAMPLES} == set(rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table._family)
def test_a_taken_name_is_refused(table):
    taken = next(iter(table))
    before = table[taken]
    with pytest.raises(InvalidInput, match=f"{taken}.*there is one of that name"):
        table.register(taken, before)
    with pytest.raises(InvalidInput, match="expected a name"):
        table.register("", before)
    assert table[taken] is before
    assert [] not in table


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("auto", 200, "there is a preset"),
        ("raw", 200, "there is one of that name"),
        ("mine", 6, "expected a number from 192 to 255, got 6"),
        ("mine", 256, "expected a number from 192 to 255, got 256"),
    ],
)
def test_codecs_that_are_refused(name, number, message):
    before = dict(codecs.BY_ID)
    with pytest.raises(InvalidInput, match=message):
        codecs.register_codec(type("Mine", (RawCodec,), {"name": name, "id": number})())
    assert before == codecs.BY_ID


def test_without_its_codec_a_mask_is_named_and_the_others_are_read(tmp_path):
    first = type("First", (RawCodec,), {"name": "first", "id": 200})()
    codecs.register_codec(first)
    again = type("Again", (RawCodec,), {"name": "again", "id": 200})()
    with pytest.raises(InvalidInput, match="number 200 is that of codec 'first'"):
        codecs.register_codec(again)
    masks = {"w": np.ones((4, 8), bool)}
    with MaskArchive.create(tmp_path / "a.h5", {"w": (4, 8)}) as archive:
        archive.add("mine", masks, codec="first")
        archive.add("theirs", masks, codec="raw")
    del codecs.BY_ID[200]
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert np.array_equal(archive.get("theirs")["w"], masks["w"])
        with pytest.raises(ArchiveError, match="200"):
            archive.get("mine")


def test_a_registry_shows_its_members():
    table = Registry("colour", {"red": 1})
    table.register("blue", 2)
    assert list(table.items()) == [("red", 1), ("blue", 2)]
    assert repr(table) == "<colour: red, blue>"
