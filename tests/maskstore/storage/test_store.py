"""A store that was just made is the store that opening its file gives."""

import pytest

from maskstore import InvalidInput
from maskstore.storage.format import MAX_HEADER_BYTES
from maskstore.storage.store import Store
from maskstore.testing import MemoryDevice

HEADER = {"layout": [{"name": "w", "shape": (3, 2)}], "backbone": None}


def test_what_is_made_is_what_is_opened():
    device = MemoryDevice()
    made, opened = Store.create(device, HEADER, "m"), Store(device, "m")
    assert vars(made) == vars(opened)
    assert made.slot.generation == 0
    assert made.header["layout"][0]["shape"] == [3, 2]  # as JSON has it, made or opened


def test_a_header_that_is_too_large_writes_nothing():
    device = MemoryDevice()
    with pytest.raises(InvalidInput, match="at most"):
        Store.create(device, {"layout": "x" * MAX_HEADER_BYTES}, "m")
    assert not device.content
