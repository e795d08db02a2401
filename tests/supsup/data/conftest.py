"""Fixtures of the data tests."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as where users run: what is refused, the code refuses."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
