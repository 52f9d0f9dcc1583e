"""MOABB's data sets for the estimators, and the data sets on this disk for MOABB's evaluations."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import mne
import numpy as np
from mne.utils import logger, use_log_level
from numpy.typing import NDArray

from ..tasks import Task
from ..utils.optional import import_optional
from ._loading import warn_of
from .catalog import get_spec
from .downstream import DOWNSTREAM

if TYPE_CHECKING:
    from moabb.datasets.base import BaseDataset
    from moabb.paradigms.base import BaseParadigm

_BAND = (0.1, 75.0)  # Hz, what the model was trained on
_MOST_OPTIONS = 26  # a letter for each
_LONG = 16  # characters; longer answers are listed as options

# Questions by what MOABB calls a dataset's paradigm, worded like those of the paper (Table 5).
_QUESTIONS = {
    "imagery": "What does the subject imagine in this EEG segment?",
    "p300": "Which type of stimulus does this EEG segment belong to?",
    "ssvep": "Which flickering stimulus does the subject look at in this EEG segment?",
    "cvep": "Which coded stimulus does the subject look at in this EEG segment?",
    "rstate": "Which state does this EEG segment belong to?",
}
_ANY_QUESTION = "Which class does this EEG segment belong to?"


class MoabbData(NamedTuple):
    """Trials of a MOABB dataset.

    Attributes
    ----------
    epochs : mne.BaseEpochs
        The trials, in volts at 200 Hz, with the metadata columns ``subject``, ``session``, ``run``
        and ``label``.
    y : ndarray of str, shape (n_epochs,)
        Label of each trial, as MOABB names it.
    task : Task
        The question which of the labels a trial has.
    """

    epochs: mne.BaseEpochs
    y: NDArray[np.str_]
    task: Task


def from_moabb(
    dataset: BaseDataset,
    paradigm: BaseParadigm,
    subjects: Iterable[int] | None = None,
    *,
    question: str | None = None,
    line_freq: float | str | None = "auto",
) -> MoabbData:
    """Load a MOABB dataset for the estimators.

    The paradigm says what a trial is: its events, its time and its channels. Its frequency band and
    sampling rate are not used: MOABB's paradigms filter narrowly (motor imagery to 8-32 Hz), and
    the model has never seen such EEG. The recordings go through :func:`mne_neurolm.prepare_raw`
    instead (0.1-75 Hz, power line, 200 Hz).

    Parameters
    ----------
    dataset : moabb.datasets.base.BaseDataset
        The dataset. MOABB downloads it if it is not there.
    paradigm : moabb.paradigms.base.BaseParadigm
        A paradigm that fits it.
    subjects : iterable of int | None
        Subjects to load. None (default): all.
    question : str | None
        The task's question. None (default): one for the kind of paradigm.
    line_freq : float | "auto" | None
        Power line frequency, see :func:`mne_neurolm.prepare_raw`. Default ``"auto"``: as MOABB
        tells it.

    Returns
    -------
    epochs : mne.BaseEpochs
        The trials, in volts at 200 Hz, with the metadata columns ``subject``, ``session``, ``run``
        and ``label``.
    y : ndarray of str, shape (n_epochs,)
        Label of each trial, as MOABB names it.
    task : Task
        The question which of the labels a trial has.

    Raises
    ------
    ValueError
        If the paradigm does not fit the dataset, trials are shorter than a second, or there is only
        one class.
    ImportError
        If MOABB is not installed.

    Notes
    -----
    The task's answers are the names of the events in words, in alphabetical order, which is how
    MOABB's evaluations number them; so the task serves there as well. More than two answers, or
    long ones, are listed as options in the prompt.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import from_moabb
    >>> from moabb.datasets import PhysionetMI  # doctest: +SKIP
    >>> from moabb.paradigms import LeftRightImagery  # doctest: +SKIP
    >>> epochs, y, task = from_moabb(PhysionetMI(), LeftRightImagery(), [1])  # doctest: +SKIP
    >>> classifier = NeuroLMClassifier(task).fit(epochs, y)  # doctest: +SKIP
    """
    classes = _import_classes()
    if not paradigm.is_valid(dataset):
        raise ValueError(
            f"{type(paradigm).__name__} does not fit the dataset {dataset.code}, which is one of "
            f"{dataset.paradigm!r} with the events {', '.join(dataset.event_id)}."
        )
    if dataset.paradigm == classes.PARADIGM:
        raise ValueError(
            f"{dataset.code} holds windows of recordings that are prepared already: load them with "
            "mne_neurolm.datasets.load and to_epochs."
        )
    paradigm = copy.copy(paradigm)
    own = getattr(paradigm, "filters", None)
    paradigm.filters, paradigm.resample = [_BAND], None
    prepare = classes.Prepare(line_freq)
    (process,) = paradigm.make_process_pipelines(dataset, return_epochs=True)
    # The first step makes annotations of the events, the second one is the paradigm's filter.
    (kind, _), (second, _) = process.steps[:2]
    process.steps[1 : 2 if second == kind else 1] = [(kind, prepare)]
    with use_log_level("warning"):
        epochs, labels, _ = paradigm.get_data(
            dataset,
            None if subjects is None else list(subjects),
            return_epochs=True,
            process_pipelines=[process],
        )
    warn_of({}, prepare.warnings, len(prepare.warnings))
    y = np.array(labels, dtype=str)
    task = _task(dataset, sorted({*map(str, paradigm.used_events(dataset)), *y}), question)
    if len(epochs.times) < epochs.info["sfreq"]:
        raise ValueError(
            f"Trials of {type(paradigm).__name__} in {dataset.code} last "
            f"{epochs.tmax - epochs.tmin:g} s, and the model reads whole seconds. Give the "
            "paradigm a later end, for example tmax=1.0."
        )
    logger.info(
        f"{len(y)} trials of {dataset.code} in {_BAND[0]:g}-{_BAND[1]:g} Hz; the paradigm's own "
        f"band, {own}, is not used."
    )
    _name_events(epochs, y)
    return MoabbData(epochs, y, task)


def to_moabb(
    name: str,
    root: str | Path,
    *,
    subjects: Collection[str] | None = None,
    variant: str = "paper",
    cache: str | Path | None = None,
) -> BaseDataset:
    """Wrap a downstream data set on this disk for MOABB's evaluations.

    A trial is a window of the paper's protocol (see :func:`load`), prepared as the paper does. Use
    it with :func:`window_paradigm`. Recordings that cannot be used are left out with a warning when
    MOABB asks for them.

    Parameters
    ----------
    name : str
        ``"seed"``, ``"hmc"``, ``"workload"`` and the like, see :func:`load`.
    root : str | Path
        Folder with the files as they are distributed.
    subjects : collection of str | None
        Subjects to use, as the files name them. None (default): all.
    variant : "paper" | "code"
        See :func:`load`. Default ``"paper"``.
    cache : str | Path | None
        Folder to keep prepared recordings in, see :func:`load`. None (default): nothing is written,
        and recordings are prepared whenever MOABB asks for them.

    Returns
    -------
    dataset : moabb.datasets.base.BaseDataset
        Its ``subject_list`` has numbers, those at the end of the names where all names have one
        (``Subject03`` is 3), else 1, 2 and so on in their order; ``subject_names`` tells which is
        which. ``task`` is the task for :class:`mne_neurolm.NeuroLMClassifier`, with its answers in
        the order in which MOABB numbers labels. ``ch_names`` are the names of the channels, where
        they are always the same; MOABB's arrays come without them. ``problems`` tells what was left
        out so far.

    Raises
    ------
    FileNotFoundError
        If there is no recording of the data set; it says where to get it.
    ValueError
        If the data set is no downstream one, or a parameter is out of range.
    ImportError
        If MOABB is not installed.

    Notes
    -----
    MOABB keeps results by the dataset's ``code`` and subject. Pass ``overwrite=True`` to an
    evaluation after files were added or removed.

    Evaluate across subjects. Windows of one recording may overlap (``"workload"``), and in
    MOABB's evaluations within a session the same samples would be trained on and tested.

    MOABB takes one trial at a time: where events of several channels coincide (``"tuev"``), it
    keeps the first, and a warning says how many there are.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> from mne_neurolm.datasets import simulate_epochs, to_moabb, window_paradigm
    >>> simulated = simulate_epochs(1, 2, duration=62.0, random_state=0)  # in place of recordings
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     for number, data in enumerate(simulated.get_data(), start=1):
    ...         raw = mne.io.RawArray(data, simulated.info)
    ...         raw.export(f"{folder}/Subject03_{number}.edf")
    ...     dataset = to_moabb("workload", folder)
    ...     X, y, _ = window_paradigm().get_data(dataset)
    >>> X.shape, dataset.subject_list, dataset.task.answers
    ((58, 19, 800), [3], {'No': 'No', 'Yes': 'Yes'})
    """
    spec = get_spec(name)
    if spec.protocol is None:
        downstream = ", ".join(other.name for other in DOWNSTREAM)
        raise ValueError(
            f"{spec.title} is a pretraining corpus, without labels; choose one of {downstream}."
        )
    if variant not in ("paper", "code"):
        raise ValueError(f"variant must be 'paper' or 'code', got {variant!r}.")
    if isinstance(subjects, str):
        raise TypeError(f"subjects must be a list of names, e.g. [{subjects!r}].")
    return _import_classes().Local(
        spec,
        Path(root).expanduser(),
        subjects=None if subjects is None else [str(subject) for subject in subjects],
        variant=variant,
        cache=None if cache is None else Path(cache).expanduser(),
    )


def window_paradigm(
    *,
    events: list[str] | None = None,
    channels: list[str] | None = None,
    scorer: Any = "balanced_accuracy",
) -> BaseParadigm:
    """Return MOABB's way to take the windows of :func:`~mne_neurolm.datasets.to_moabb` as they are.

    It filters nothing, since the recordings are prepared already.

    Parameters
    ----------
    events : list of str | None
        Labels to use. None (default): all.
    channels : list of str | None
        Channels to use. None (default): all.
    scorer : str | callable
        Metric, as scikit-learn names it. Default ``"balanced_accuracy"``.

    Returns
    -------
    paradigm : moabb.paradigms.base.BaseParadigm
        The paradigm.

    Raises
    ------
    ImportError
        If MOABB is not installed.

    Examples
    --------
    >>> from mne_neurolm.datasets import window_paradigm
    >>> paradigm = window_paradigm(scorer="roc_auc")
    >>> paradigm.scoring
    'roc_auc'
    """
    return _import_classes().WindowParadigm(events, channels, scorer)


def _import_classes() -> ModuleType:
    """Return the module with the classes, which needs MOABB."""
    import_optional("moabb", extra="moabb", purpose="Work with MOABB's datasets and evaluations")
    from . import _moabb_classes

    return _moabb_classes


def _task(dataset: BaseDataset, labels: list[str], question: str | None) -> Task:
    """Return the task of telling a dataset's events apart."""
    if len(labels) < 2:
        raise ValueError(
            f"{dataset.code} has one class only with this paradigm, {', '.join(labels)}; a task "
            "needs two."
        )
    asked = question or _QUESTIONS.get(dataset.paradigm, _ANY_QUESTION)
    return label_task(dataset.code, asked, {label: label for label in labels})


def label_task(name: str, question: str, names: Mapping[Any, str]) -> Task:
    """Return a task whose answers are the names of events in words.

    Parameters
    ----------
    name : str
        Name of the task.
    question : str
        The question.
    names : mapping of label to str
        What each label is called, such as ``left_hand``; at least two.

    Returns
    -------
    task : Task
        With ``"left hand"`` for ``left_hand``. More than two answers, or long ones, are listed as
        options.
    """
    words = {label: _in_words(text) for label, text in names.items()}
    if len(set(words.values())) < len(words):
        words = dict(names)
    long = any(len(text) > _LONG for text in words.values())
    options = (len(words) > 2 or long) and len(words) <= _MOST_OPTIONS
    return Task(name, question, words, options=options)


def _in_words(label: str) -> str:
    """Return the name of an event in words: "left hand" for left_hand, "non target" for NonTarget.

    What holds no letter or digit stays as it is.
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_+", " ", label).strip().lower() or label


def _name_events(epochs: mne.BaseEpochs, y: NDArray[np.str_]) -> None:
    """Name the classes in alphabetical order, and note each trial's in the metadata."""
    names, codes = np.unique(y, return_inverse=True)
    epochs.events[:, 2] = codes
    epochs.event_id = {str(name): code for code, name in enumerate(names)}
    with use_log_level("warning"):  # else it tells that it replaces metadata
        epochs.metadata = epochs.metadata.assign(label=y)
