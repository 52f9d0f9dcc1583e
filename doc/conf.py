from __future__ import annotations

import os
import sys
from pathlib import Path

# The gallery runs the examples: no model hub, no window, and one thread each.
os.environ |= {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from gallery_settings import gallery_conf  # noqa: E402
from local_inventories import linked_names, make_inventories  # noqa: E402

from mne_neurolm._version import __version__  # noqa: E402

project = "mne-neurolm"
author = "mne-neurolm developers"
copyright = "mne-neurolm developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]  # classes: own members, not those of their base classes
exclude_patterns = ["_build", "_ext", "_templates", "auto_examples/**/*.md5"]
root_doc = "index"
default_role = "literal"
nitpicky = True

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings state types, shapes and units
numpydoc_show_class_members = False
# A docstring may not name a parameter that is not there, nor in another order than the signature.
numpydoc_validation_checks = {"PR02", "PR03", "SS03"}
# Types of parameters become links where they are names that can be linked.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
_LINKED = ("EEGTokens", "NeuroLM", "NeuroLMClassifier", "NeuroLMConfig", "NeuroLMTokenizer", "Task")
numpydoc_xref_aliases = {
    **{name: f"mne_neurolm.{name}" for name in _LINKED},
    "Patches": "mne_neurolm.patches.Patches",
    "Problem": "mne_neurolm.evaluation.Problem",
    "RecordingOutput": "mne_neurolm.streaming.RecordingOutput",
    "Results": "mne_neurolm.evaluation.Results",
    "TrainingConfig": "mne_neurolm.training.TrainingConfig",
    "BaseEpochs": "mne.BaseEpochs",
    "Epochs": "mne.Epochs",
    "EpochsArray": "mne.EpochsArray",
    "Path": "pathlib.Path",
    "RandomState": "numpy.random.RandomState",
    "Tensor": "torch.Tensor",
    "ndarray": "numpy.ndarray",
    **{name: f":class:`{name}`" for name in linked_names(HERE / "inventories.toml")},
}

intersphinx_mapping = make_inventories(HERE / "inventories.toml", HERE / "_build" / "inventories")
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
sphinx_gallery_conf = gallery_conf(HERE)
myst_enable_extensions: list[str] = []
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = f"mne-neurolm {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "icon_links": [],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "use_edit_page_button": False,
}
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_fields(app, what, name, obj, skip, options):
    """Leave fields of named tuples to the section Attributes of their class."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    """Connect what is ours."""
    app.connect("autodoc-skip-member", skip_fields)
