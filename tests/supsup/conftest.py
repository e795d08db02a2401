"""Fixtures of all tests of supsup."""

import jaxtyping
import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Tiny networks: a second thread costs more than it computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as where users run: what is refused, the code refuses."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
