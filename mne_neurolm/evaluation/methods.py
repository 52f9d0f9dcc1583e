"""The methods that are compared: a table of names and how to build an estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurolm.evaluation.baselines import band_power_classifier
from mne_neurolm.evaluation.problem import Problem
from mne_neurolm.evaluation.simple import (
    SENSORIMOTOR_BAND,
    band_tangent_space_classifier,
    chance_classifier,
    csp_classifier,
    evoked_classifier,
    tangent_space_classifier,
)
from mne_neurolm.models.neurolm import NeuroLM
from mne_neurolm.tokens import EEGTokens

#: Largest number of principal components that the linear probe reads.
N_COMPONENTS = 100


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the builders need besides problem and seed.

    Parameters
    ----------
    model : str | pathlib.Path | NeuroLM
        The NeuroLM to evaluate, as for :class:`mne_neurolm.NeuroLMClassifier`. Default ``"tiny"``.
    device : str
        Where networks compute. Default ``"auto"``.
    classifier : dict
        Parameters of :class:`mne_neurolm.NeuroLMClassifier` for the tuned NeuroLM, such as
        ``tune``, ``lr``, ``max_epochs`` or ``calibration``. Default: none, which leaves its own.
    """

    model: str | Path | NeuroLM = "tiny"
    device: str = "auto"
    classifier: Mapping[str, Any] = field(default_factory=dict)


#: Makes an unfitted estimator for a problem and a seed.
Builder = Callable[[Problem, int, Settings], BaseEstimator]


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes
    ----------
    name : str
        Name, as commands take it.
    title : str
        What to call it in tables and figures.
    kind : "neurolm" | "simple" | "deep"
        What it is compared as.
    build : callable
        ``build(problem, seed, settings)`` returns an unfitted classifier with ``predict_proba``;
        ``settings`` has the ``model``, the ``device`` and the parameters ``classifier`` of
        :func:`run_evaluation`. ``fit`` gets the subjects as ``groups`` if it takes them.
    seeded : bool
        Whether the seed changes the result; if not, it runs once. Default False.
    tokens : bool
        Whether it reads :class:`mne_neurolm.EEGTokens`, and not epochs. Default False.

    Examples
    --------
    >>> import mne
    >>> from sklearn.dummy import DummyClassifier
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Method, Problem, make_folds, run_evaluation
    >>> def toss_coin(problem, seed, settings):
    ...     return DummyClassifier(strategy="uniform", random_state=seed)
    >>> coin = Method("coin", "Toss of a coin", "simple", toss_coin, seeded=True)
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("group-2-fold", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=[coin], seeds=[0, 1], n_jobs=1)
    >>> [(cell.method, cell.seed, cell.fold) for cell in results.cells]
    [('coin', 0, 0), ('coin', 0, 1), ('coin', 1, 0), ('coin', 1, 1)]
    """

    name: str
    title: str
    kind: str
    build: Builder
    seeded: bool = False
    tokens: bool = False


def mean_states(tokens: EEGTokens) -> NDArray[np.float32]:
    """Return the mean over time of each channel's hidden states.

    Parameters
    ----------
    tokens : EEGTokens
        Tokens of epochs.

    Returns
    -------
    features : ndarray of float32, shape (n_epochs, n_channels * n_embd)
        All dimensions of the first channel first.
    """
    shape = (len(tokens), tokens.n_seconds, tokens.n_channels, tokens.hidden.shape[2])
    return tokens.hidden.reshape(shape).mean(axis=1).reshape(len(tokens), -1)


def pooled_states(tokens: EEGTokens) -> NDArray[np.float32]:
    """Return the mean over time and channels of the hidden states.

    Parameters
    ----------
    tokens : EEGTokens
        Tokens of epochs.

    Returns
    -------
    features : ndarray of float32, shape (n_epochs, n_embd)
        The same for all montages.
    """
    return tokens.hidden.mean(axis=1)


def linear_probe(
    n_train: int,
    *,
    n_components: int = N_COMPONENTS,
    C: float = 0.001,
    pool_channels: bool = False,
) -> Pipeline:
    """Build the readout that says what the frozen encoder knows.

    The mean over time of each channel's hidden states, standardised, reduced to principal
    components, and logistic regression. The components keep thousands of features from outnumbering
    the windows.

    Parameters
    ----------
    n_train : int
        Number of epochs that it will be fitted on, which bounds the number of components.
    n_components : int
        Principal components. Default 100.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.001.
    pool_channels : bool
        Take the mean over channels too, and no principal components of it. That is better for the
        bundled models, whose hidden states know the whole scalp, and blind to places in models
        without a scalp embedding. Default False.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an :class:`mne_neurolm.EEGTokens`.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import linear_probe
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> tokens = NeuroLMTokenizer().fit_transform(epochs)
    >>> linear_probe(8, n_components=4).fit(tokens, epochs.metadata["state"]).predict(tokens).shape
    (8,)
    """
    readout = ("logisticregression", LogisticRegression(C=C, max_iter=2000))
    if pool_channels:
        states = ("pooledstates", FunctionTransformer(pooled_states))
        return Pipeline([states, ("standardscaler", StandardScaler()), readout])
    pca = PCA(min(n_components, n_train - 1), random_state=0)
    states = ("meanstates", FunctionTransformer(mean_states))
    return Pipeline([states, ("standardscaler", StandardScaler()), ("pca", pca), readout])


def _neurolm(problem: Problem, seed: int, settings: Settings) -> BaseEstimator:
    from mne_neurolm.classifier import NeuroLMClassifier

    return NeuroLMClassifier(
        problem.task,
        settings.model,
        device=settings.device,
        random_state=seed,
        verbose=False,
        **settings.classifier,
    )


def _zero_shot(problem: Problem, seed: int, settings: Settings) -> BaseEstimator:
    from mne_neurolm.classifier import NeuroLMClassifier

    return NeuroLMClassifier(
        problem.task,
        settings.model,
        tune=None,
        device=settings.device,
        random_state=seed,
        verbose=False,
    )


def _probe(pool_channels: bool) -> Builder:
    return lambda problem, seed, settings: linear_probe(
        min(len(fold.train) for fold in problem.folds), pool_channels=pool_channels
    )


def _simple(build: Callable[[], BaseEstimator]) -> Builder:
    return lambda problem, seed, settings: build()


_NEUROLM = (
    Method("neurolm", "NeuroLM, tuned", "neurolm", _neurolm, seeded=True, tokens=True),
    Method("neurolm-probe", "NeuroLM, linear probe", "neurolm", _probe(False), tokens=True),
    Method(
        "neurolm-pooled-probe",
        "NeuroLM, linear probe of the mean",
        "neurolm",
        _probe(True),
        tokens=True,
    ),
    Method("neurolm-untuned", "NeuroLM, not tuned here", "neurolm", _zero_shot, tokens=True),
)
_SIMPLE = (
    Method("chance", "Chance", "simple", _simple(chance_classifier)),
    Method("band-power", "Band power + LR", "simple", _simple(band_power_classifier)),
    Method("tangent-space", "Tangent space + LR", "simple", _simple(tangent_space_classifier)),
    Method(
        "tangent-space-8-30",
        "Tangent space 8-30 Hz + LR",
        "simple",
        _simple(lambda: tangent_space_classifier(band=SENSORIMOTOR_BAND)),
    ),
    Method(
        "band-tangent-space",
        "Band tangent space + LR",
        "simple",
        _simple(band_tangent_space_classifier),
    ),
    Method("evoked", "50 ms averages + LR", "simple", _simple(evoked_classifier)),
    Method("csp", "CSP 8-30 Hz + LDA", "simple", _simple(csp_classifier)),
)

#: Methods by name: NeuroLM and the simple ones. Deep networks are in :func:`deep_methods`.
METHODS: dict[str, Method] = {method.name: method for method in (*_NEUROLM, *_SIMPLE)}


def deep_methods() -> dict[str, Method]:
    """Return the deep networks that are trained on request, by name.

    Returns
    -------
    methods : dict of Method
        The paper's seven, EEGNet and ShallowFBCSPNet.

    Raises
    ------
    ImportError
        If Braindecode cannot be imported; it says what to install.
    """
    from mne_neurolm.evaluation.deep import DEEP

    return {
        name: Method(name, getattr(row, "title", name), "deep", _deep(name), seeded=True)
        for name, row in DEEP.items()
    }


def _deep(name: str) -> Builder:
    def build(problem: Problem, seed: int, settings: Settings) -> BaseEstimator:
        from mne_neurolm.evaluation.deep import DeepClassifier

        return DeepClassifier(name, device=settings.device, random_state=seed, verbose=False)

    return build


def choose_methods(names: Sequence[str] | None = None, *, baselines: bool = False) -> list[Method]:
    """Return methods by name.

    Parameters
    ----------
    names : sequence of str | None
        Names in ``METHODS`` or of deep networks. ``None`` (default): all in ``METHODS``.
    baselines : bool
        Whether to add all deep networks. Default False.

    Returns
    -------
    methods : list of Method
        Each once.

    Raises
    ------
    ValueError
        If there is no method of a name.
    """
    chosen = dict(METHODS) if names is None else {}
    unknown = [name for name in names or () if name not in METHODS]
    deep = deep_methods() if unknown or baselines else {}
    for name in names or ():
        if name not in METHODS and name not in deep:
            near = get_close_matches(name, [*METHODS, *deep], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"There is no method {name!r}.{hint} Choose among {', '.join([*METHODS, *deep])}."
            )
        chosen[name] = METHODS.get(name) or deep[name]
    if baselines:
        chosen |= deep
    return list(chosen.values())
