"""Steps of the pipelines that ``moabb.benchmark`` runs; imported by name, from their YAML files.

MOABB's pipelines get arrays without channel names, and classes as numbers. NeuroLM needs channel
names and words, and these steps get them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import mne
import numpy as np
from moabb.pipelines import SSVEP_CCA
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from mne_neurolm.classifier import NeuroLMClassifier
from mne_neurolm.datasets.moabb import label_task
from mne_neurolm.evaluation.methods import N_COMPONENTS, linear_probe
from mne_neurolm.tasks import Task
from mne_neurolm.tokens import EEGTokens
from mne_neurolm.utils.params import always_shown

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6}


class EpochsInput(TransformerMixin, SSVEP_CCA):
    """First step of a pipeline that needs Epochs: it makes MOABB hand them over.

    ``moabb.benchmark`` has no parameter to ask for Epochs, and estimators have no tag to say that
    they need them. MOABB knows pipelines that do by a step of class ``SSVEP_CCA``, which is why
    this is one; nothing else is taken from it.

    Parameters
    ----------
    ch_names : list of str | None
        Names of the channels of arrays, which MOABB gives where it was not asked for Epochs, as
        with ``return_epochs=False`` in its older versions. They are never guessed. Not needed
        (default None) for Epochs.
    sfreq : float | None
        Sampling rate of arrays in Hz. Default None.
    unit : "V" | "mV" | "uV" | None
        Unit of arrays; MOABB's come in microvolts. Default None.

    Notes
    -----
    MOABB then gives Epochs to all pipelines of the same run. Those that need arrays, such as its
    own, have to be run by another call, with the same ``results``.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.evaluation.moabb_steps import EpochsInput
    >>> step = EpochsInput(ch_names=["C3", "C4"], sfreq=250.0, unit="uV")
    >>> epochs = step.fit_transform(np.full((5, 2, 500), 20.0))
    >>> epochs.ch_names, epochs.get_data().shape, round(1e6 * epochs.get_data().max())  # back in uV
    (['C3', 'C4'], (5, 2, 500), 20)
    """

    def __init__(
        self,
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        unit: str | None = None,
    ) -> None:
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.unit = unit

    def fit(self, X: Any, y: Any = None) -> EpochsInput:
        """Check the data; nothing is learned.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            The trials.
        y : array-like | None
            Ignored.

        Returns
        -------
        self : EpochsInput
            The step.

        Raises
        ------
        ValueError
            If X is an array, and what it holds is not told, or not this.
        """
        self._read(X)
        self.is_fitted_ = True
        return self

    def transform(self, X: Any) -> mne.BaseEpochs | list[mne.BaseEpochs]:
        """Return Epochs.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            The trials.

        Returns
        -------
        epochs : Epochs | list of Epochs
            X itself, or an array's Epochs, in volts.

        Raises
        ------
        ValueError
            As ``fit``.
        """
        return self._read(X)

    def _read(self, X: Any) -> mne.BaseEpochs | list[mne.BaseEpochs]:
        if isinstance(X, mne.BaseEpochs):
            return X
        if isinstance(X, list) and X and all(isinstance(item, mne.BaseEpochs) for item in X):
            return X
        array = np.asarray(X)
        if array.ndim != 3 or array.dtype.kind not in "fiu":
            raise ValueError(
                "Trials must be Epochs, a list of them, or an array of shape (n_epochs, n_chans, "
                f"n_times); got {type(X).__name__} of shape {array.shape}."
            )
        if self.ch_names is None or self.sfreq is None or self.unit not in _VOLTS:
            raise ValueError(
                "MOABB gave an array, which knows neither channels nor rate nor unit. Run the "
                "evaluation with return_epochs=True, or set ch_names, sfreq and unit ('uV' for "
                "MOABB's arrays) of the step EpochsInput."
            )
        if len(self.ch_names) != array.shape[1]:
            raise ValueError(
                f"EpochsInput has {len(self.ch_names)} ch_names for the {array.shape[1]} channels "
                "of MOABB's array. Give the paradigm the same channels in the same order."
            )
        info = mne.create_info(list(self.ch_names), float(self.sfreq), "eeg", verbose="error")
        return mne.EpochsArray(_VOLTS[self.unit] * array, info, verbose="error")


def _with_question(init: Any) -> Any:
    """Give ``__init__`` the parameters of the classifier in its signature, but for ``task``."""
    own = inspect.signature(init).parameters
    inherited = inspect.signature(NeuroLMClassifier).parameters
    named = [p for name, p in inherited.items() if name != "task"]
    init.__signature__ = inspect.Signature(
        [
            *(p for p in own.values() if p.kind is not p.VAR_KEYWORD),
            *(p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY) for p in named),
        ]
    )
    return init


@always_shown("model", "revision")
class QuestionClassifier(NeuroLMClassifier):
    """The classifier for any of MOABB's datasets: it makes the task of the classes that it finds.

    Parameters
    ----------
    question : str
        The question.
    answers : mapping of str to str | None
        What the model answers, by MOABB's name of each class, such as ``{"left_hand": "left",
        "right_hand": "right"}``. Default None: the names in words where labels are names, and the
        letters A, B and so on where they are numbers.
    **skorch_params
        These and all others, such as ``model``, ``tune`` and ``lr``, are those of
        :class:`mne_neurolm.NeuroLMClassifier`, but for ``task``.

    Attributes
    ----------
    task_ : Task
        The task that ``fit`` made. The others are those of :class:`mne_neurolm.NeuroLMClassifier`.

    Notes
    -----
    ``moabb.benchmark`` numbers classes in the alphabetical order of their names and does not tell
    the names. So a number stands for the key of ``answers`` at that place in the alphabet, and
    ``answers`` can only be given where the classes are the same on all datasets. What an answer is
    called matters little to a model that is tuned on it.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation.moabb_steps import QuestionClassifier
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> answers = {"left_hand": "left", "right_hand": "right"}
    >>> classifier = QuestionClassifier("Which hand is imagined?", answers, tune=None)
    >>> classifier.fit(epochs, [0, 1, 0, 1]).task_.answers  # MOABB numbers the classes
    {0: 'left', 1: 'right'}
    """

    @_with_question
    def __init__(
        self, question: str, answers: Mapping[str, str] | None = None, **parameters: Any
    ) -> None:
        super().__init__(task="", **parameters)  # of fit
        self.question = question
        self.answers = answers

    def fit(self, X: Any, y: Any, groups: Any = None) -> QuestionClassifier:
        """Make the task, and tune the model on it.

        Parameters
        ----------
        X : Epochs | list of Epochs
            The trials.
        y : array-like, shape (n_epochs,)
            Labels, as numbers or names.
        groups : array-like, shape (n_epochs,) | None
            As of :class:`mne_neurolm.NeuroLMClassifier`.

        Returns
        -------
        self : QuestionClassifier
            The fitted classifier; ``task_`` is the task.

        Raises
        ------
        ValueError
            If ``answers`` lacks a class, or there are fewer than two; and as the classifier's.
        """
        self.task = self._make_task(np.asarray(y))
        super().fit(X, y, groups)
        return self

    def _make_task(self, y: NDArray[Any]) -> Task:
        labels = np.unique(y).tolist()
        if len(labels) < 2:
            raise ValueError(f"A task needs two classes; there is only {labels}.")
        names = {label: label for label in labels if isinstance(label, str)}
        if self.answers is None:
            if names:
                return label_task("moabb", self.question, names)
            return Task("moabb", self.question, {label: _letter(label) for label in labels})
        if not names and len(self.answers) == len(labels):
            names = dict(zip(labels, sorted(self.answers), strict=True))
        missing = sorted(set(names.values()) - set(self.answers))
        if not names or missing:
            raise ValueError(
                f"answers are given for {', '.join(sorted(self.answers))}, but the classes are "
                f"{', '.join(map(str, labels))}. Give one for each class, or none."
            )
        return Task("moabb", self.question, {k: self.answers[name] for k, name in names.items()})


class LinearProbe(ClassifierMixin, BaseEstimator):
    """:func:`mne_neurolm.evaluation.linear_probe` for any number of trials.

    Parameters
    ----------
    n_components : int
        Principal components, at most one less than there are trials. Default 100.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.001.

    Attributes
    ----------
    pipeline_ : sklearn.pipeline.Pipeline
        The fitted readout.
    classes_ : ndarray, shape (n_classes,)
        The labels.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation.moabb_steps import LinearProbe
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=8, random_state=0)
    >>> tokens = NeuroLMTokenizer().fit_transform(epochs)
    >>> probe = LinearProbe().fit(tokens, epochs.metadata["state"])
    >>> int(probe.pipeline_["pca"].n_components_)  # not 100: there are 8 trials
    7
    >>> probe.predict_proba(tokens).shape
    (8, 2)
    """

    def __init__(self, n_components: int = N_COMPONENTS, C: float = 0.001) -> None:
        self.n_components = n_components
        self.C = C

    def fit(self, X: EEGTokens, y: Any) -> LinearProbe:
        """Fit the readout.

        Parameters
        ----------
        X : EEGTokens
            Tokens of the trials.
        y : array-like, shape (n_epochs,)
            Labels.

        Returns
        -------
        self : LinearProbe
            The fitted readout.
        """
        probe = linear_probe(len(X), n_components=self.n_components, C=self.C)
        self.pipeline_ = probe.fit(X, y)
        self.classes_ = self.pipeline_.classes_
        return self

    def predict_proba(self, X: EEGTokens) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : EEGTokens
            Tokens of the trials.

        Returns
        -------
        proba : ndarray of float64, shape (n_epochs, n_classes)
            Columns as ``classes_``.
        """
        check_is_fitted(self)
        return self.pipeline_.predict_proba(X)

    def predict(self, X: EEGTokens) -> NDArray[Any]:
        """Return the likeliest class.

        Parameters
        ----------
        X : EEGTokens
            Tokens of the trials.

        Returns
        -------
        y : ndarray, shape (n_epochs,)
            Labels.
        """
        check_is_fitted(self)
        return self.pipeline_.predict(X)


def _letter(label: Any) -> str:
    """Return a letter for the number of a class, or the number where letters do not suffice."""
    whole = isinstance(label, int) and 0 <= label < len(ascii_uppercase)
    return ascii_uppercase[label] if whole else str(label)
