from __future__ import annotations

from mne_neurolm._version import __version__

project = "mne-neurolm"
author = "mne-neurolm developers"
copyright = "mne-neurolm developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
]
templates_path = ["_templates"]  # classes: own members, not those of their base classes
exclude_patterns = ["_build", "_templates"]
root_doc = "index"
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings state types, shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# A docstring may not name a parameter that is not there, nor in another order than the signature.
numpydoc_validation_checks = {"PR02", "PR03", "SS03"}

html_theme = "pydata_sphinx_theme"
html_title = f"mne-neurolm {__version__}"
html_theme_options = {
    "icon_links": [],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "use_edit_page_button": False,
}
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
