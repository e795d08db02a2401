import ast
import importlib
import subprocess
import sys
from pathlib import Path

import supsup


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(supsup.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert sorted(seen) == sorted(supsup.__all__)
    for name, module in seen.items():
        home = importlib.import_module(module)
        assert getattr(home, name) is getattr(supsup, name)
    assert set(supsup.__all__) <= set(dir(supsup))


LAZY = """
import sys
import supsup
from supsup import errors
assert "torch" not in sys.modules and "numba" not in sys.modules
assert "train" in dir(supsup) and "train" not in vars(supsup)
assert not hasattr(supsup, "nothing_of_that_name")
assert "torch" not in sys.modules
supsup.recovery.MaskMemory, supsup.train
assert "torch" in sys.modules and "train" in vars(supsup)
"""


def test_nothing_is_imported_before_it_is_asked_for():
    subprocess.run([sys.executable, "-c", LAZY], check=True)
