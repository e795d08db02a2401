import pytest

import supsup
import supsup.masking


@pytest.mark.parametrize("module", [supsup, supsup.masking])
def test_every_exported_name_exists(module):
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
