"""Work on several items at a time."""

import threading
import time

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import InvalidMask, TaskExists
from maskstore.parallel import THREADS, map_ahead


def test_results_come_in_order_whoever_is_done_first():
    def work(item):
        time.sleep(0.01 * (item % 3 == 0))
        return item, threading.get_ident()

    found = list(map_ahead(work, range(40)))
    assert [item for item, _ in found] == list(range(40))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_little_is_taken_ahead_of_who_asks():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = map_ahead(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) == 2 * THREADS + 1
    results.close()
    assert len(taken) == 2 * THREADS + 1


def test_an_error_comes_in_its_place():
    def work(item):
        if item == 3:
            raise KeyError(item)
        return item

    seen = []
    with pytest.raises(KeyError):
        for result in map_ahead(work, range(10)):
            seen.append(result)
    assert seen == [0, 1, 2]


LAYER = (200, 300)  # enough weights to be coded on several threads


def masks_of(count):
    rng = np.random.default_rng(0)
    return [(f"task/{at}", {"w": rng.random(LAYER) < 0.1}, {"at": at}) for at in range(count)]


def test_many_at_once_are_stored_as_one_by_one(tmp_path):
    items = masks_of(9)
    with MaskArchive.create(tmp_path / "a.h5", {"w": LAYER}) as together:
        assert together.add_many(iter(items)) == 9
        with MaskArchive.create(tmp_path / "b.h5", {"w": LAYER}) as alone:
            for name, masks, metadata in items:
                alone.add(name, masks, metadata)
            assert together.names() == alone.names()
            for name, masks, _ in items:
                assert together.stored_bytes(name) == alone.stored_bytes(name)
                np.testing.assert_array_equal(together.get(name)["w"], masks["w"])


@pytest.mark.parametrize("bad", ["mask", "name"])
def test_a_bad_item_among_many_leaves_nothing(tmp_path, bad):
    items = masks_of(9)
    items[5] = ("bad", {"w": np.zeros((2, 2), bool)}, {}) if bad == "mask" else items[0]
    with MaskArchive.create(tmp_path / "a.h5", {"w": LAYER}) as archive:
        with pytest.raises(InvalidMask if bad == "mask" else TaskExists):
            archive.add_many(items)
        assert archive.names() == []
        assert archive.add_many(masks_of(2)) == 2


def test_a_taken_name_is_refused_before_its_mask_is_looked_at(tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", {"w": LAYER}) as archive:
        archive.add_many(masks_of(1))
        with pytest.raises(TaskExists):
            archive.add("task/0", {"w": np.zeros((2, 2), bool)})
