"""What is to be classified, and which epochs train and test: problems and folds."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import (
    LeaveOneGroupOut,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
)

from mne_neurolm.tasks import Task

#: Ways to make folds, as commands and YAML files name them; the numbers may be others.
SCHEMES = ("paper", "group-5-fold", "leave-one-subject-out", "repeated-5-fold")

# Of "repeated-5-fold": ten repetitions are the habit of motor imagery studies.
_N_REPEATS = 10
_SEED = 0  # of the folds, which are the same for all methods and seeds


@dataclass(frozen=True, eq=False)
class Fold:
    """Which epochs train and which test.

    Parameters
    ----------
    name : str
        What to call it, e.g. ``"fold 1"`` or ``"subject 07"``.
    train, test : ndarray of int64
        Positions of epochs, disjoint.
    validation : ndarray of int64 | None
        Epochs that are in neither; no method of the table reads them. ``None`` (default): none.
    repeat : int
        Which repetition of the cross-validation it belongs to. Default 0. Within a repetition, no
        epoch is tested twice.

    See Also
    --------
    mne_neurolm.evaluation.make_folds : The usual ways to split.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.evaluation import Fold
    >>> subjects = np.array(["anna", "anna", "ben", "ben", "cleo"])
    >>> test = subjects == "ben"
    >>> fold = Fold("subject ben", np.flatnonzero(~test), np.flatnonzero(test))
    >>> fold.train.tolist(), fold.test.tolist()
    ([0, 1, 4], [2, 3])
    """

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    validation: NDArray[np.int64] | None = None
    repeat: int = 0


@dataclass(frozen=True, eq=False)
class Problem:
    """One thing to be classified, ready for any method.

    Parameters
    ----------
    name : str
        Name of the problem, which is that of its files and figures.
    task : Task
        The question and its answers.
    epochs : mne.BaseEpochs
        The EEG in volts, in memory. Every method gets these channels and samples.
    y : ndarray, shape (n_epochs,)
        Labels of the task.
    subjects : ndarray, shape (n_epochs,)
        Whose epoch it is.
    folds : list of Fold
        Train and test sets, as of :func:`make_folds`.
    description : str
        Data and split in words. Default: none.
    dataset : str
        Name of the data set of the paper, if it is one; published results are shown for these.

    Attributes
    ----------
    positions : ndarray of int64, shape (n_epochs,)
        Position of each label among the task's answers.
    pooled : bool
        Whether scores are of all test epochs of a repetition together, because some fold's test
        set lacks a class; otherwise they are of every fold, and averaged.
    answers : list of str
        The classes in words, in the order of the task's labels.
    fingerprint : str
        16 hexadecimal digits that change with the signals, channels, labels or question.

    Raises
    ------
    ValueError
        If lengths differ, labels are not the task's, there is a single class or no fold, or a
        fold's sets are empty, overlap or reach beyond the epochs.

    See Also
    --------
    mne_neurolm.evaluation.read_problem : Makes one of files and a description.
    mne_neurolm.evaluation.run_evaluation : Lets methods solve it.

    Examples
    --------
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds
    >>> epochs = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> len(problem.folds), problem.answers, problem.pooled
    (3, ['No', 'Yes'], False)
    """

    name: str
    task: Task
    epochs: mne.BaseEpochs
    y: NDArray
    subjects: NDArray
    folds: list[Fold]
    description: str = ""
    dataset: str = ""

    def __post_init__(self) -> None:
        for name in ("y", "subjects"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        n = len(self.epochs)
        if not len(self.y) == len(self.subjects) == n:
            raise ValueError(
                f"Problem {self.name!r} needs a label and a subject for each of {n} epochs; got "
                f"{len(self.y)} labels and {len(self.subjects)} subjects."
            )
        if len(np.unique(self.positions)) < 2:
            raise ValueError(
                f"Problem {self.name!r} holds a single class, {np.unique(self.y).tolist()}; there "
                "is nothing to tell apart."
            )
        if not self.folds:
            raise ValueError(f"Problem {self.name!r} has no folds; see make_folds.")
        for fold in self.folds:
            sets = [fold.train, fold.test]
            sets += [] if fold.validation is None else [fold.validation]
            together = np.concatenate(sets)
            if not all(map(len, sets)) or len(np.unique(together)) < len(together):
                raise ValueError(
                    f"{fold.name} of problem {self.name!r}: its sets must hold epochs, each once; "
                    f"got {', '.join(str(len(s)) for s in sets)} with "
                    f"{len(together) - len(np.unique(together))} repeated."
                )
            if together.min() < 0 or together.max() >= n:
                raise ValueError(
                    f"{fold.name} of problem {self.name!r} names epochs {together.min()} to "
                    f"{together.max()}; there are 0 to {n - 1}."
                )
            if len(np.unique(self.positions[fold.train])) < 2:
                raise ValueError(
                    f"{fold.name} of problem {self.name!r} has a single class to train on. Take "
                    "other folds: see make_folds."
                )

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Position of each label among the task's answers."""
        return self.task.label_indices(self.y)

    @cached_property
    def pooled(self) -> bool:
        """Whether scores are of all test epochs of a repetition together."""
        classes = set(self.positions.tolist())
        return any(set(self.positions[fold.test].tolist()) < classes for fold in self.folds)

    @property
    def answers(self) -> list[str]:
        """The classes in words, in the order of the task's labels."""
        return [text.strip() for text in self.task.answers.values()]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the signals, channels, labels or question."""
        digest = hashlib.sha256()
        digest.update(np.ascontiguousarray(self.epochs.get_data(copy=False)).tobytes())
        facts = (
            self.epochs.ch_names,
            float(self.epochs.info["sfreq"]),
            self.positions.tolist(),
            repr(self.task),
        )
        digest.update(repr(facts).encode())
        return digest.hexdigest()[:16]


def make_folds(
    scheme: str,
    y: ArrayLike,
    subjects: ArrayLike,
    *,
    parts: ArrayLike | None = None,
) -> list[Fold]:
    """Split epochs into train and test sets.

    Parameters
    ----------
    scheme : str
        ``"paper"``: one fold, the ``parts``. ``"group-5-fold"``: every subject is in one of 5 test
        sets, which have all classes in proportion
        (:class:`sklearn.model_selection.StratifiedGroupKFold`, shuffled with seed 0).
        ``"leave-one-subject-out"``: every subject is a test set. ``"repeated-5-fold"``: epochs of
        the same people train and test, 5 folds with all classes in proportion, drawn 10 times with
        seed 0. Other numbers than 5 go as well.
    y : array-like, shape (n_epochs,)
        Labels.
    subjects : array-like, shape (n_epochs,)
        Whose epoch it is.
    parts : array-like of str, shape (n_epochs,) | None
        For ``"paper"``: ``"train"``, ``"validation"`` or ``"test"``. If there is no test epoch, the
        validation epochs are for testing, and the name of the fold says so.

    Returns
    -------
    folds : list of Fold
        With ascending positions of epochs.

    Raises
    ------
    ValueError
        If there is no such scheme, or there are too few subjects or epochs for it.

    Examples
    --------
    >>> from mne_neurolm.evaluation import make_folds
    >>> folds = make_folds("leave-one-subject-out", [0, 1, 0, 1], ["anna", "anna", "ben", "ben"])
    >>> [fold.name for fold in folds]
    ['subject anna', 'subject ben']
    """
    labels, groups = np.asarray(y), np.asarray(subjects)
    people = np.unique(groups)
    if scheme == "paper":
        return [_paper_fold(parts)]
    if scheme == "leave-one-subject-out":
        if len(people) < 2:
            raise ValueError(f"{scheme} needs two subjects or more; there is {people.tolist()}.")
        pairs = LeaveOneGroupOut().split(labels, labels, groups)
        return [Fold(f"subject {groups[test[0]]}", train, test) for train, test in pairs]
    match = re.fullmatch(r"(group|repeated)-(\d+)-fold", scheme)
    if match is None or int(match[2]) < 2:
        raise ValueError(
            f"Unknown scheme {scheme!r}; choose one of {', '.join(SCHEMES)}, with other numbers of "
            "folds from 2 on if you like."
        )
    n_folds = int(match[2])
    _, codes = np.unique(labels, return_inverse=True)
    if match[1] == "group":
        if len(people) < n_folds:
            raise ValueError(
                f"{scheme} needs {n_folds} subjects or more; there are {people.tolist()}. Take "
                "leave-one-subject-out, or repeated-5-fold within one subject."
            )
        split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=_SEED)
        pairs = split.split(codes, codes, groups)
        return [Fold(f"fold {k}", train, test) for k, (train, test) in enumerate(pairs, 1)]
    fewest = np.bincount(codes).min()
    if fewest < n_folds:
        raise ValueError(
            f"{scheme} needs {n_folds} epochs of every class or more; one has {fewest}. Take fewer "
            "folds."
        )
    draws = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=_N_REPEATS, random_state=_SEED)
    return [
        Fold(f"fold {k % n_folds + 1} of draw {k // n_folds + 1}", train, test, None, k // n_folds)
        for k, (train, test) in enumerate(draws.split(codes, codes))
    ]


def _paper_fold(parts: ArrayLike | None) -> Fold:
    """Return the paper's split as a fold."""
    if parts is None:
        raise ValueError(
            "The paper's split is known for the downstream data sets of the paper only. Take one "
            f"of {', '.join(SCHEMES[1:])}."
        )
    names = np.asarray(parts)
    train, validation, test = (
        np.flatnonzero(names == part) for part in ("train", "validation", "test")
    )
    if not len(train) or not (len(validation) or len(test)):
        raise ValueError(
            f"The paper's split needs epochs to train on and others to test on; of {len(names)} "
            f"there are {len(train)} for training, {len(validation)} for validation and "
            f"{len(test)} for testing. Add recordings, or take one of {', '.join(SCHEMES[1:])}."
        )
    if not len(test):
        return Fold("validation set (no test subjects)", train, validation)
    return Fold("test set", train, test, validation if len(validation) else None)
