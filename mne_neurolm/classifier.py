"""Answers to a question about EEG, as a scikit-learn classifier."""

from __future__ import annotations

import copy
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mne.utils import warn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from .models.config import NeuroLMConfig
from .models.hub import load_language_model
from .models.inference import as_tokens, write_answers
from .models.neurolm import NeuroLM
from .tasks import Task, get_task
from .tokens import EEGTokens
from .training.answer_net import TUNE, AnswerModule, make_net, net_inputs, prepare_tuning
from .utils.device import resolve_device
from .utils.docs import fill_doc
from .utils.fingerprint import fingerprint
from .utils.logging import shows_progress
from .utils.params import always_shown

# Arguments of the skorch net that have no double underscore and no parameter here.
_NET_ARGUMENTS = (
    "callbacks",
    "compile",
    "dataset",
    "iterator_train",
    "iterator_valid",
    "optimizer",
    "train_split",
)


@always_shown("model", "revision")
@fill_doc
class NeuroLMClassifier(ClassifierMixin, BaseEstimator):
    """Classify EEG by asking a language model a question about it (paper, section 2.4).

    The model reads the EEG and the task's question, and every allowed answer gets the probability
    that the model gives to its words. ``fit`` tunes the language model on the right answers; the
    neural tokenizer stays as it is.

    Parameters
    ----------
    task : str | Task
        One of the paper's tasks, ``"tuab"``, ``"tuev"``, ``"seed"``, ``"hmc"``, ``"workload"`` or
        ``"tusl"``, or your own :class:`Task`.
    model : str | pathlib.Path | NeuroLM | NeuroLMConfig
        What to start from, as for :class:`NeuroLMTokenizer`. Default ``"tiny"``. A configuration
        starts from random weights, with the text tokenizer of ``"tiny"``.
    tune : "full" | "lora" | "head" | None
        What ``fit`` changes: the whole language model (default); low-rank adapters beside it
        (needs ``peft``); only its output layer; or nothing, which is zero-shot classification:
        ``fit`` then only records the classes.
    %(ch_names_array)s
    %(sfreq_array)s
    %(unit_array)s
    %(on_missing)s
    revision : str | None
        Revision of a model on the hub: a branch, tag or commit.
    %(device)s
    %(dtype)s
    %(batch_size)s
    lr : float
        Peak learning rate. Default 5e-4 (Table 9).
    max_epochs : int
        Passes over the data. Default 5 (Table 9).
    weight_decay : float
        Weight decay of matrices and embeddings. Default 0.1 (Table 9).
    warmup : float
        Share of the steps spent on linear warm-up, before half a cosine down to a tenth of ``lr``.
        Default 0.1 (Table 9).
    grad_clip : float
        Largest norm of the gradient. Default 1.0 (Table 9).
    %(random_state)s
    %(verbose)s
    **skorch_params
        Anything else for the :class:`skorch.NeuralNet` that trains: names with a double underscore
        such as ``optimizer__betas`` or ``iterator_train__num_workers``, and ``callbacks``,
        ``train_split``, ``optimizer``, ``dataset``, ``compile``.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels seen in ``fit``, sorted, as they were given.
    net_ : skorch.NeuralNet
        The net that trains and predicts; ``net_.history`` has the losses.
    model_ : NeuroLM
        The tuned model.
    task_ : Task
        The task.

    See Also
    --------
    NeuroLMTokenizer : Makes the tokens; the classifier uses one of its own for anything else.
    tune_instructions : Tune one model on many tasks.

    Notes
    -----
    A longer answer is less likely as text, before anything is tuned: for zero-shot classification
    use answers of equal length, or ``Task(..., options=True)``, which answers with a letter.

    The released code generates five tokens and parses them; a failed parse counts as the last
    class. Here the log-probability of each answer is computed exactly, in one forward pass.

    A pickle holds the tuned weights and the parameter ``model``, which brings back the others; if
    that is a path, it must exist where the pickle is loaded.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
    >>> zero_shot = NeuroLMClassifier(task="workload", tune=None).fit(epochs, y)
    >>> zero_shot.predict_proba(epochs).shape
    (4, 2)
    """

    def __init__(
        self,
        task: str | Task,
        model: str | Path | NeuroLM | NeuroLMConfig = "tiny",
        tune: str | None = "full",
        *,
        ch_names: list[str] | None = None,
        sfreq: float | None = None,
        unit: str | None = None,
        on_missing: str = "raise",
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
        lr: float = 5e-4,
        max_epochs: int = 5,
        weight_decay: float = 0.1,
        warmup: float = 0.1,
        grad_clip: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | str | int | None = None,
        **skorch_params: Any,
    ) -> None:
        self.task = task
        self.model = model
        self.tune = tune
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.unit = unit
        self.on_missing = on_missing
        self.revision = revision
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.lr = lr
        self.max_epochs = max_epochs
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.grad_clip = grad_clip
        self.random_state = random_state
        self.verbose = verbose
        self.skorch_params = skorch_params

    # --- parameters --------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the skorch net included.

        Parameters
        ----------
        deep : bool
            As in scikit-learn.

        Returns
        -------
        params : dict
            Names and values.
        """
        return {**super().get_params(deep=deep), **self.skorch_params}

    def set_params(self, **params: Any) -> NeuroLMClassifier:
        """Set parameters, those of the skorch net included.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self : NeuroLMClassifier
            The estimator.
        """
        own = {}
        for name, value in params.items():
            if _is_net_argument(name):
                self.skorch_params = {**self.skorch_params, name: value}
            else:
                own[name] = value
        super().set_params(**own)
        return self

    # --- fit and predict ---------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> NeuroLMClassifier:
        """Tune the model on EEG and labels.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            Tokens, or anything that :class:`NeuroLMTokenizer` takes.
        y : array-like, shape (n_epochs,)
            Labels as the task names them, the words of its answers, or integers 0 to n - 1, which
            stand for the answers in order (yes/no tasks: No = 0, Yes = 1).

        Returns
        -------
        self : NeuroLMClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If labels do not belong to the task, there is only one class, X and y differ in length,
            tokens come from another encoder, or a parameter is not allowed.
        """
        if self.tune not in TUNE:
            raise ValueError(f"tune must be one of {TUNE}; got {self.tune!r}.")
        for name in ("batch_size", "max_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0; got {self.lr}.")
        if not 0 <= self.warmup < 1:
            raise ValueError(
                f"warmup is a share of the steps, from 0 to below 1; got {self.warmup}."
            )
        if not self.grad_clip >= 0:
            raise ValueError(f"grad_clip must be 0 (off) or above; got {self.grad_clip}.")
        unknown = [name for name in self.skorch_params if not _is_net_argument(name)]
        if unknown:
            raise TypeError(
                f"Unknown parameters {unknown}. Parameters of the skorch net have a double "
                f"underscore (optimizer__betas) or are among {_NET_ARGUMENTS}."
            )
        task = get_task(self.task)
        y = np.asarray(y)
        positions = task.label_indices(y)
        classes, index = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y holds a single class, {classes.tolist()}; a classifier needs two.")
        # Position among the task's answers of each class.
        answers = task.label_indices(classes)
        if len(np.unique(positions)) < len(classes):
            raise ValueError(
                f"Some labels in {classes.tolist()} stand for the same answer of {task.name!r}; "
                "name each class one way."
            )
        if self.tune is None and task.reads_positions(y) and _is_reordered_by_encoding(task):
            warn(
                f"Labels are read as {dict(enumerate(task.labels))}. If they come from "
                "scikit-learn's label encoding, which sorts (cross_val_predict, VotingClassifier "
                "and others do it), this is another order: use a Task whose answers are keyed by "
                "these numbers."
            )
        seed = int(check_random_state(self.random_state).randint(2**31))
        model, encoder_id = self._load_model(seed)
        # Everything that can be refused is, before anything of an earlier fit is replaced.
        tokens = self._as_tokens(X, model, encoder_id)
        if len(tokens) != len(y):
            raise ValueError(f"X has {len(tokens)} epochs, but y has {len(y)} labels.")
        net = self._make_net(model, task, answers, seed)
        if self.tune is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # dropout, if the model has any
                net.fit(net_inputs(tokens), index.astype(np.int64))
        model.eval()
        self.task_, self.classes_, self.tune_, self._answers = task, classes, self.tune, answers
        self.model_, self.net_, self._encoder_id = model, net, encoder_id
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-probability of each class's answer.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        scores : ndarray of float64, shape (n_epochs, n_classes) or (n_epochs,)
            Log-probability of each answer among all text; for two classes the difference between
            the second and the first, as scikit-learn has it.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class among those seen in ``fit``.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        proba : ndarray of float64, shape (n_epochs, n_classes)
            Softmax of the answers' log-probabilities; columns as ``classes_``, rows sum to 1.
        """
        scores = self._scores(X)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class with the most likely answer.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        y : ndarray, shape (n_epochs,)
            Labels as given to ``fit``.
        """
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def answer(self, X: Any, *, max_new_tokens: int = 20) -> list[str]:
        """Let the model answer in its own words.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.
        max_new_tokens : int
            Longest answer in text tokens. Default 20.

        Returns
        -------
        answers : list of str, length n_epochs
            Generated text, most likely token first. It need not be one of the allowed answers.
        """
        check_is_fitted(self, "net_")
        return write_answers(
            self.model_,
            self._as_tokens(X, self.model_, self._encoder_id),
            self.net_.module_.prompt,
            max_new_tokens=max_new_tokens,
            batch_size=self.batch_size,
            dtype=self.dtype,
        )

    # --- parts -------------------------------------------------------------------------------

    def _load_model(self, seed: int) -> tuple[NeuroLM, str | None]:
        """Return the model, ready to be tuned, and the fingerprint that tokens must carry."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # weights of a configuration, and adapters
            model = load_language_model(self.model, revision=self.revision)
            if model is self.model and self.tune is not None:
                model = copy.deepcopy(model)  # a parameter must not change in fit
            model.to(resolve_device(self.device))
            prepare_tuning(model, self.tune)
        # A fresh model reads the tokens of any encoder of its width: it has none of its own.
        fresh = isinstance(self.model, NeuroLMConfig)
        return model, None if fresh else model.encoder_id()

    def _make_net(
        self, model: NeuroLM, task: Task, answers: NDArray[np.int64], seed: int
    ) -> NeuralNet:
        """Return the net over a model, initialised."""
        encoded = task.encode(model.text_tokenizer, model.config.sep_token_id)
        module = AnswerModule(
            model, encoded.prompt, [encoded.answers[i] for i in answers], self.dtype
        )
        net = make_net(
            module,
            tune=self.tune,
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            grad_clip=self.grad_clip,
            progress=shows_progress(self.verbose),
            seed=seed,
            **self.skorch_params,
        )
        return net.initialize()

    def _as_tokens(self, X: Any, model: NeuroLM, encoder_id: str | None) -> EEGTokens:
        """Return tokens, the only way data come in."""
        return as_tokens(
            X,
            model,
            encoder_id,
            dtype=self.dtype,
            batch_size=self.batch_size,
            progress=shows_progress(self.verbose),
            ch_names=self.ch_names,
            sfreq=self.sfreq,
            unit=self.unit,
            on_missing=self.on_missing,
            verbose=self.verbose,
        )

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "net_")
        tokens = self._as_tokens(X, self.model_, self._encoder_id)
        if not len(tokens):
            return np.empty((0, len(self.classes_)))
        return self.net_.predict_proba(net_inputs(tokens)).astype(np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    # --- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # The net is rebuilt on loading. Only what training changed is kept: the parameter `model`
        # brings the rest back, unless it is a configuration, whose first weights were random.
        state = dict(super().__getstate__())
        if "net_" in state:
            net, model = state.pop("net_"), state.pop("model_")
            kept = _kept_weights(model, self.tune_, isinstance(self.model, NeuroLMConfig))
            state["_weights"] = {name: t.detach().cpu().numpy() for name, t in kept.items()}
            state["_rest_id"] = _rest_id(model, kept)
            state["_history"] = net.history
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        extra = {k: state.pop(k, None) for k in ("_weights", "_rest_id", "_history")}
        super().__setstate__(state)
        if extra["_weights"] is None:
            return
        asked, self.tune = self.tune, self.tune_  # as of fit, whatever was set since
        try:
            model, _ = self._load_model(seed=0)
            tensors = {name: torch.from_numpy(array) for name, array in extra["_weights"].items()}
            if _rest_id(model, tensors) != extra["_rest_id"]:
                raise ValueError(
                    f"This classifier was tuned from another model than the one that "
                    f"model={self.model!r} now stands for, so its weights do not fit. Install the "
                    "version of mne-neurolm, or restore the files, that it was fitted with; or fit "
                    "again."
                )
            model.load_state_dict(tensors, strict=False)
            net = self._make_net(model, self.task_, self._answers, seed=0)
        finally:
            self.tune = asked
        net.history_ = extra["_history"]
        self.model_, self.net_ = model.eval(), net


def _kept_weights(model: NeuroLM, tune: str | None, everything: bool) -> dict[str, torch.Tensor]:
    """Return the weights that a pickle must hold."""
    if everything:
        return model.state_dict()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    return {k: v for k, v in model.state_dict().items() if tune is not None and k in trained}


def _rest_id(model: NeuroLM, kept: Container[str]) -> str:
    """Return a fingerprint of all other weights."""
    return fingerprint((k, v) for k, v in model.state_dict().items() if k not in kept)


def _is_reordered_by_encoding(task: Task) -> bool:
    return sorted(map(str, task.labels)) != [str(label) for label in task.labels]


def _is_net_argument(name: str) -> bool:
    return "__" in name or name in _NET_ARGUMENTS
