"""Cells of an evaluation: a problem, a method, a fold and a seed; and their files."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from mne_neurolm._version import __version__
from mne_neurolm.evaluation.problem import Fold, Problem
from mne_neurolm.utils.replacing import replace_text

_FORMAT = 1  # to be raised when the content of files or the meaning of keys changes

# Parameters that say where and how loudly something is computed.
_WITHOUT_EFFECT = ("device", "n_jobs", "verbose")


@dataclass(frozen=True, eq=False)
class Cell:
    """What one method predicted for the test set of one fold, with one seed.

    Attributes
    ----------
    problem, method : str
        Names.
    fold : int
        Position among the problem's folds.
    seed : int
        Seed of the method.
    proba : ndarray of float64, shape (n_test, n_labels)
        Probabilities, columns in the order of the task's labels; 0 for labels that did not occur in
        training.
    temperature : float
        Temperature that the probabilities were calibrated with, 1.0 if they were not.
    seconds : float
        Time that fitting and predicting took.
    warnings : tuple of str
        What was warned about meanwhile, each once.
    """

    problem: str
    method: str
    fold: int
    seed: int
    proba: NDArray[np.float64]
    temperature: float
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A cell that could not be computed.

    Attributes
    ----------
    problem, method : str
        Names.
    fold : int
        Position among the problem's folds.
    seed : int
        Seed of the method.
    error : str
        Type and message of the error.
    traceback : str
        Where it came from.
    """

    problem: str
    method: str
    fold: int
    seed: int
    error: str
    traceback: str


def cell_key(
    problem: Problem, fold: Fold, estimator: BaseEstimator, seed: int, model_id: str
) -> str:
    """Return a name that changes with the data, the method, the weights and the package's code.

    Parameters
    ----------
    problem : Problem
        The problem: signals, channels, labels, question.
    fold : Fold
        Which epochs train and test.
    estimator : sklearn.base.BaseEstimator
        The unfitted method: its class and parameters.
    seed : int
        Seed of the method.
    model_id : str
        Fingerprint of the weights that it starts from; empty if there are none.

    Returns
    -------
    key : str
        32 hexadecimal digits.
    """
    facts = [
        _FORMAT,
        __version__,
        problem.fingerprint,
        problem.subjects.tolist(),  # some methods hold out subjects of the training set
        [None if part is None else part.tolist() for part in (fold.train, fold.test)],
        # A path may change and what lies there as well: the fingerprint says it.
        describe_estimator(estimator, without=("model",) if model_id else ()),
        seed,
        model_id,
        _code(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a fingerprint of the package's code and of the versions of what computes."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    versions = [version(name) for name in ("numpy", "scikit-learn", "torch", "mne")]
    return f"{digest.hexdigest()} {versions}"


def describe_estimator(estimator: BaseEstimator, without: Sequence[str] = ()) -> list[Any]:
    """Return class and parameters, nested estimators included, as far as results depend on them.

    Parameters
    ----------
    estimator : sklearn.base.BaseEstimator
        The estimator.
    without : sequence of str
        Parameters to leave out, besides those that say where and how loudly it computes.

    Returns
    -------
    facts : list
        Of strings, the same in every process.
    """
    parameters = [
        [name, _describe(value)]
        for name, value in sorted(estimator.get_params(deep=True).items())
        if name.rpartition("__")[2] not in (*_WITHOUT_EFFECT, *without)
    ]
    return [_name(type(estimator)), parameters]


def read_cell(path: Path) -> Cell | None:
    """Read a cell's file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    cell : Cell | None
        None if there is no file, or none that can be read: it is computed again then.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        proba = np.array(entries.pop("proba"), dtype=np.float64)
        return Cell(proba=proba, **{**entries, "warnings": tuple(entries["warnings"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_cell(path: Path, cell: Cell) -> None:
    """Write a cell's file such that it is there whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file; its folder is made if needed.
    cell : Cell
        The cell.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = asdict(cell) | {"proba": cell.proba.tolist()}
    try:
        replace_text(path, json.dumps(entries))
    except FileNotFoundError:
        if not path.exists():  # else another run computed the same cell and was faster
            raise


def fits_with_groups(estimator: BaseEstimator) -> bool:
    """Tell whether ``fit`` takes the subjects, as methods that hold some of them out do."""
    return "groups" in inspect.signature(estimator.fit).parameters


def _describe(value: Any) -> Any:
    """Return a parameter's value in words that do not change from process to process."""
    if isinstance(value, BaseEstimator):
        return _name(type(value))
    if isinstance(value, Mapping):
        return [[str(key), _describe(entry)] for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(entry) for entry in value]
    if callable(value) and hasattr(value, "__qualname__"):
        return _name(value)
    return repr(value)


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
