"""The files that ``moabb.benchmark`` reads: pipelines, and parameters of paradigms."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from mne_neurolm.evaluation._benchmark_tables import PURPOSE
from mne_neurolm.utils.optional import import_optional


def moabb_pipelines() -> str:
    """Return the folder of the pipelines that ``moabb.benchmark`` runs.

    NeuroLM, tuned on the training trials, as a linear probe, and as it is; beside it chance and
    four simple methods: band power, covariance in the tangent space, common spatial patterns, and
    averages over 50 ms.

    Returns
    -------
    folder : str
        With a YAML file for each, in MOABB's format. Copy and change one for another model. Where
        the package's own folder cannot be written to, a copy that is removed when Python ends.

    Raises
    ------
    ImportError
        If MOABB is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mne_neurolm.evaluation import moabb_contexts, moabb_pipelines
    >>> sorted(file.name for file in Path(moabb_pipelines()).glob("neurolm_p*.yml"))
    ['neurolm_p300.yml', 'neurolm_probe.yml']

    MOABB downloads what it is to run them on:

    >>> import moabb  # doctest: +SKIP
    >>> results = moabb.benchmark(  # doctest: +SKIP
    ...     pipelines=moabb_pipelines(),
    ...     contexts=moabb_contexts(),
    ...     paradigms=["LeftRightImagery"],
    ...     evaluations=["WithinSession"],
    ...     include_datasets=["BNCI2014-001"],
    ... )
    """
    import_optional("moabb", extra="moabb", purpose=PURPOSE)
    return _lockable("moabb_yaml")


def moabb_contexts() -> str:
    """Return the file with the paradigms' parameters that NeuroLM needs.

    MOABB's paradigms filter to the band where an effect is expected, such as 8 to 32 Hz, and the
    network has never seen such EEG.

    Returns
    -------
    path : str
        For ``moabb.benchmark(contexts=...)``: 0.1 to 60 Hz, and whole seconds, for
        ``LeftRightImagery``, ``MotorImagery``, ``P300`` and ``SSVEP``.

    Examples
    --------
    >>> from pathlib import Path
    >>> import yaml
    >>> from mne_neurolm.evaluation import moabb_contexts
    >>> contexts = yaml.safe_load(Path(moabb_contexts()).read_text(encoding="utf-8"))
    >>> contexts["P300"]
    {'fmin': 0.1, 'fmax': 60, 'tmin': 0.0, 'tmax': 1.0}
    """
    return _lockable("moabb_contexts.yaml")


@lru_cache(maxsize=1)
def _own_copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mne-neurolm-")  # removed when Python ends


def _lockable(name: str) -> str:
    """Return a file or folder of the package where MOABB may write locks beside what it reads."""
    place = Path(str(files("mne_neurolm.evaluation") / name))
    if os.access(place if place.is_dir() else place.parent, os.W_OK):
        return str(place)
    copy = Path(_own_copies().name) / name
    if place.is_dir():
        shutil.copytree(place, copy, dirs_exist_ok=True)
    else:
        shutil.copy(place, copy)
    return str(copy)
