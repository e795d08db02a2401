"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest

MODULES = ["maskstore.bits", "maskstore.layout", "maskstore.packed"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted
    assert not tried.failed
