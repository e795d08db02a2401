"""How Sphinx builds this site: `python -m sphinx -W -n --keep-going docs OUT`, offline."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
# A checkout documents its own code, not that of a copy that was installed.
sys.path[:0] = [str(ROOT), str(ROOT / "cli")] if (ROOT / "supsup").is_dir() else []
sys.path.insert(0, str(DOCS / "_ext"))

project = "supsup-store"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "python_reference",
    "command_reference",
]
exclude_patterns = ["_ext"]
myst_heading_anchors = 3

# Notebooks are run at every build, anew and in a folder of their own; one that fails is an error.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
add_module_names = False
python_maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_title = project
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
}
