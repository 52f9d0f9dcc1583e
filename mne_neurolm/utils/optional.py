"""Import what may be absent or broken, with an error that says what to install."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from mne.utils import logger, use_log_level

# torchaudio 2.11 is compiled against the CUDA of the PyPI builds of torch 2.11 to 2.14; of these,
# the one that constraints.txt pins.
_TORCH_FOR_TORCHAUDIO = "2.14.1"
_TORCHAUDIO = "2.11.0"

# A shared library that lacks its CUDA or torch symbols raises OSError, torchaudio's own check of
# the CUDA version RuntimeError, a failed extension ImportError.
_BROKEN_LIBRARY = (ImportError, OSError, RuntimeError)


def import_optional(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional dependency.

    Parameters
    ----------
    name : str
        Name of the module, e.g. ``"moabb.paradigms"``.
    extra : str
        The extra of mne-neurolm that installs it, e.g. ``"moabb"``.
    purpose : str
        What needs it, as the start of a sentence, e.g. ``"Evaluation on MOABB datasets"``.

    Returns
    -------
    module : module
        The imported module.

    Raises
    ------
    ImportError
        If the package is not installed. Errors from inside an installed package are not touched.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ImportError(
            f"{purpose} requires {package}, which could not be imported ({error}). "
            f"Install it with: python -m pip install 'mne-neurolm[{extra}]'",
            name=package,
        ) from error


def import_braindecode() -> ModuleType:
    """Import braindecode, which needs a torch that its dependency torchaudio can load beside.

    Returns
    -------
    braindecode : module
        The imported package.

    Raises
    ------
    ImportError
        If braindecode is absent, or installed but broken. When torchaudio is the reason, the
        message names the torch to install.
    """
    try:
        # Deprecations inside braindecode and wfdb, which no user of ours can act on; those of MNE's
        # functions are logged as well.
        with warnings.catch_warnings(), use_log_level("error"):
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return importlib.import_module("braindecode")
    except _BROKEN_LIBRARY as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "braindecode":
            advice = (
                "it is not installed. Install it with: "
                f"python -m pip install braindecode torch=={_TORCH_FOR_TORCHAUDIO}"
            )
        elif _torchaudio_error() is not None:
            advice = (
                f"its dependency torchaudio {_installed('torchaudio')} does not load beside torch "
                f"{_installed('torch')}. torchaudio {_TORCHAUDIO} is compiled for the CUDA of the "
                f"PyPI build of torch {_TORCH_FOR_TORCHAUDIO}; it does not load beside torch "
                "2.15.0, which is built for another CUDA, nor beside a CPU-only build ('+cpu'). "
                f"Install them with: python -m pip install torch=={_TORCH_FOR_TORCHAUDIO} "
                f"torchaudio=={_TORCHAUDIO}"
            )
        else:
            advice = (
                f"version {_installed('braindecode')} is installed but broken. Install its "
                "requirements again with: python -m pip install --force-reinstall braindecode "
                f"torch=={_TORCH_FOR_TORCHAUDIO}"
            )
        raise ImportError(
            f"braindecode could not be imported ({type(error).__name__}: {error}): {advice}",
            name="braindecode",
        ) from error


def import_transformers() -> ModuleType:
    """Import transformers so that a torchaudio that does not load cannot break its text models.

    Attributes such as ``import_transformers().GPT2Model`` are safe too, although transformers
    imports their modules only when they are asked for: it has by then recorded that there is no
    torchaudio.

    Returns
    -------
    transformers : module
        The imported package.
    """
    with hide_broken_torchaudio():
        return importlib.import_module("transformers")


@contextmanager
def hide_broken_torchaudio() -> Iterator[None]:
    """Make a torchaudio that is installed but does not load look absent to transformers.

    transformers takes a package that can be found for one that works and imports torchaudio on the
    way to GPT-2, so a torch that torchaudio does not fit breaks a model that has nothing to do
    with audio. A torchaudio that loads, or is not installed, is left alone. What transformers
    concludes inside the context stays so for the rest of the process.

    Notes
    -----
    The entry of ``sys.modules`` is restored on leaving, so an ``import torchaudio`` elsewhere fails
    with its own error.
    """
    error = _torchaudio_error()
    if error is None:
        yield
        return
    logger.debug("torchaudio does not load and is hidden from transformers: %s", error)
    # None in sys.modules makes both `import` and `find_spec` treat a module as not installed.
    sys.modules["torchaudio"] = None  # type: ignore[assignment]
    _check_availability_again()
    try:
        yield
    finally:
        _check_availability_again()
        if sys.modules.get("torchaudio", error) is None:
            del sys.modules["torchaudio"]


def _torchaudio_error() -> Exception | None:
    """Return why an installed torchaudio does not load, None if it loads or is not there."""
    if "torchaudio" in sys.modules or find_spec("torchaudio") is None:
        return None
    before = set(sys.modules)
    try:
        importlib.import_module("torchaudio")
    except _BROKEN_LIBRARY as error:
        # Python removes the module that failed, but not the submodules it had imported by then.
        for name in set(sys.modules) - before:
            if name.startswith("torchaudio."):
                del sys.modules[name]
        return error
    return None


def _check_availability_again() -> None:
    """Make transformers, if it is imported, look for torchaudio now and keep the answer."""
    checks = sys.modules.get("transformers.utils.import_utils")
    for name in ("is_torchaudio_available", "is_speech_available"):
        check = getattr(checks, name, None)
        if check is not None and hasattr(check, "cache_clear"):
            check.cache_clear()
            check()


def _installed(distribution: str) -> str:
    """Return the installed version of a distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(not installed)"
