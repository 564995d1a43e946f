"""Sphinx configuration."""

import os
import shutil
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from sphinx.ext.autosummary import autosummary_noop, autosummary_table
from sphinx.ext.napoleon import NumpyDocstring

HERE = Path(__file__).parent

# Sphinx reads only what lies below this folder, so the tutorials are copied in at each build.
(HERE / "tutorials").mkdir(exist_ok=True)
for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
    shutil.copy(notebook, HERE / "tutorials")

info = metadata("scmpt-scverse")
project = info["Name"]
author = info["Author"]
copyright = f"2026, {author}"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
default_role = "literal"  # single backticks in docstrings are code

autodoc_typehints = "description"  # docstrings leave types to the signature
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes of a class docstring are not documented twice
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tutorials are executed by the tests and committed with their outputs

# Without a network an inventory that cannot be fetched is a warning, and warnings are errors.
intersphinx_mapping = (
    {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scvi-tools": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }
    if os.environ.get("READTHEDOCS") == "True"
    else {}
)

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_title = project
html_theme_options = {"navbar_persistent": []}  # one search field, in the sidebar, is enough


def _returns_as_prose(self: NumpyDocstring, section: str) -> list[str]:
    """Take `Returns` as text: its type stands in the signature, so its first line is none."""
    return [*self._format_block(":returns: ", self._dedent(self._consume_to_next_section())), ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    NumpyDocstring._parse_returns_section = _returns_as_prose
    # Its own visitor puts no-break spaces into signatures, which then break within words on a phone.
    app.add_node(autosummary_table, override=True, html=(autosummary_noop, autosummary_noop))
