"""Parameter descriptions that several docstrings share, each written once.

In a docstring, a line that holds nothing but ``%(device)s`` stands for the whole description of
``device``, at the same indentation; :func:`fill_doc` decorates the function or class.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

_Documented = TypeVar("_Documented", bound=Callable[..., Any])

_PLACEHOLDER = re.compile(r"^(?P<indent>[ \t]*)%\((?P<name>\w+)\)s[ \t]*$", re.MULTILINE)

_ENTRIES = {
    "model": """
model : str | Path | NeuroLM
    The network: ``"tiny"``, which is part of the package and works offline (``"tiny-joint"`` is the
    same, tuned on five tasks); ``"neurolm-b"``,
    ``"neurolm-l"`` or ``"neurolm-xl"``, the authors' released weights, downloaded and converted on
    first use; a directory written by ``save_pretrained`` or by the convert command; a ``.pt``
    file of the released format; the id of a repository on the Hugging Face hub; or a model in
    memory.
""",
    "device": """
device : str | torch.device
    Where to compute: ``"auto"`` takes the GPU if there is one and the CPU otherwise; else any
    device of PyTorch, e.g. ``"cpu"``, ``"cuda:1"`` or ``"mps"``.
""",
    "dtype": """
dtype : "auto" | "float32" | "bfloat16"
    Precision of the network's matrix products. ``"auto"`` is bfloat16 where the device computes
    in it natively and float32 elsewhere. Weights, codebook assignment and results are float32
    always.
""",
    "batch_size": """
batch_size : int
    Number of epochs that pass through the network at a time. It bounds the memory needed and does
    not change results beyond rounding.
""",
    "random_state": """
random_state : int | numpy.random.RandomState | None
    Seed of everything drawn at random: initial weights, the order of batches, dropout. With an
    int, two fits on the same machine give the same result. ``None`` draws a new seed.
""",
    "verbose": """
verbose : bool | str | int | None
    Level of logging as in MNE-Python: ``True`` for INFO, ``False`` for WARNING, ``None`` for the
    level set by :func:`mne.set_log_level`.
""",
    "on_missing": """
on_missing : "raise" | "warn" | "ignore"
    What to do with EEG channels that are neither in the vocabulary of 138 channels nor have a
    position from which the nearest vocabulary electrode could be found: raise a ``ValueError``
    that lists them, or leave them out with or without a warning.
""",
    "ch_names_array": """
ch_names : list of str, length n_chans | None
    Names of the channels when ``X`` is an array, in the order of its second axis. Required then,
    and not used for :class:`mne.Epochs`, which carry their own.
""",
    "sfreq_array": """
sfreq : float | None
    Sampling frequency in Hz when ``X`` is an array. Required then, and not used for
    :class:`mne.Epochs`. Data at another rate than 200 Hz are resampled.
""",
    "unit_array": """
unit : "V" | "mV" | "uV" | None
    Unit of the values when ``X`` is an array: MNE-Python's arrays are in volts (``"V"``), those
    of MOABB in microvolts (``"uV"``). Required then, never guessed, and not used for
    :class:`mne.Epochs`, which are in volts.
""",
    "epochs_X": """
X : mne.BaseEpochs | list of mne.BaseEpochs | ndarray, shape (n_epochs, n_chans, n_times)
    The EEG: epochs of MNE-Python; a list of such, of one montage and sampling rate, which is what
    scikit-learn makes of epochs in cross-validation; or an array, with ``ch_names``, ``sfreq`` and
    ``unit`` given as parameters of the estimator. Epochs last between 1 and 64 s; what exceeds a
    whole number of seconds is left out.
""",
}

docdict: dict[str, str] = {name: entry.strip("\n") for name, entry in _ENTRIES.items()}


def fill_doc(documented: _Documented) -> _Documented:
    """Replace the placeholders in the docstring of a function or class.

    Parameters
    ----------
    documented : callable
        A function or class; its docstring is changed in place.

    Returns
    -------
    documented : callable
        The same object.

    Raises
    ------
    KeyError
        If a placeholder has no entry in :data:`docdict`.
    """
    if documented.__doc__ is not None:  # python -OO leaves no docstrings
        documented.__doc__ = _PLACEHOLDER.sub(_entry, inspect.cleandoc(documented.__doc__))
    return documented


def _entry(placeholder: re.Match[str]) -> str:
    """Return the description for one placeholder, indented like it."""
    name = placeholder["name"]
    if name not in docdict:
        raise KeyError(
            f"The docstring placeholder %({name})s has no entry in mne_neurolm.utils.docs.docdict; "
            f"its entries are {', '.join(sorted(docdict))}."
        )
    return textwrap.indent(docdict[name], placeholder["indent"])
