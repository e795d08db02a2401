import json

import pytest

from maskstore.errors import ArchiveWriteError
from supsup.figures import Workspace
from supsup.figures.cache import Cache, write_json


@pytest.mark.parametrize("kind", [Workspace, Cache])
def test_what_is_cached_is_made_once(tmp_path, kind):
    cache, made = kind(folder=tmp_path), []

    def make() -> list[int]:
        made.append(len(made))
        return made[-1:]

    assert cache.cached("a", {"steps": 1, "counts": (2, 5)}, make) == [0]
    assert cache.cached("a", {"steps": 1, "counts": (2, 5)}, make) == [0]
    assert cache.cached("a", {"steps": 2, "counts": (2, 5)}, make) == [1]
    assert cache.cached("b", {"steps": 2, "counts": (2, 5)}, make) == [2]
    text = (tmp_path / "a.json").read_text()
    for damaged in (text[:-5], "[]", "", json.dumps({"settings": {}})):
        (tmp_path / "a.json").write_text(damaged)
        assert cache.cached("a", {"steps": 2, "counts": (2, 5)}, make) == [len(made) - 1]
    assert len(made) == 7
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_what_is_found_again_is_what_was_given_first(tmp_path):
    cache = Cache(folder=tmp_path / "new")
    assert cache.found("a", {}) is None
    first = cache.cached("a", {}, lambda: {5: (1, 2.5)})
    assert first == {"5": [1, 2.5]}
    assert cache.found("a", {}) == first
    assert cache.found("a", {"other": 1}) is None
    assert cache.path("b.h5") == tmp_path / "new" / "b.h5"


def test_a_measurement_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        Cache(folder=tmp_path).cached("a", {}, lambda: 1 / 0)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Cache(folder=tmp_path).cached("a", {}, lambda: float("nan"))
    assert not list(tmp_path.iterdir())


def test_json_that_cannot_be_written(tmp_path):
    with pytest.raises(ArchiveWriteError, match="cannot write"):
        write_json(tmp_path / "none" / "a.json", {})
