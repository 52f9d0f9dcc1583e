"""How the examples become a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx_gallery.sorting import ExplicitOrder

# In the order in which a newcomer would read them.
_ORDER = [
    "tokens/plot_tokenize_epochs.py",
    "tokens/plot_meaning_of_codes.py",
    "tokens/plot_reconstruction.py",
    "tokens/plot_odd_montages.py",
    "answers/plot_linear_probe.py",
    "answers/plot_tune_classifier.py",
    "answers/plot_own_task.py",
    "answers/plot_many_tasks.py",
    "answers/plot_real_time.py",
    "evaluation/plot_calibration.py",
    "evaluation/plot_explain_prediction.py",
    "evaluation/plot_moabb_benchmark.py",
    "pretraining/plot_pretrain_from_folder.py",
    "pretraining/plot_released_weights.py",
]


def gallery_conf(doc: Path) -> dict[str, Any]:
    """Return ``sphinx_gallery_conf``.

    Parameters
    ----------
    doc : pathlib.Path
        The folder of ``conf.py``.
    """
    sections = dict.fromkeys(Path(name).parent.name for name in _ORDER)
    return {
        "examples_dirs": str(doc.parent / "examples"),
        "gallery_dirs": "auto_examples",
        "filename_pattern": r"/plot_",
        "subsection_order": ExplicitOrder([f"../examples/{name}" for name in sections]),
        "within_subsection_order": ExplicitOrder([Path(name).name for name in _ORDER]),
        "abort_on_example_error": True,
        "only_warn_on_example_error": False,
        "backreferences_dir": "generated/backreferences",
        "doc_module": ("mne_neurolm",),
        "prefer_full_module": {r"mne_neurolm\."},
        "reference_url": {"mne_neurolm": None},
        "reset_modules": ("matplotlib",),
        "remove_config_comments": True,
        "show_memory": False,
        "show_signature": False,
        "download_all_examples": False,
        "plot_gallery": True,
    }
