"""A deep baseline as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ...utils.device import resolve_device
from ...utils.docs import fill_doc
from ...utils.logging import shows_progress
from ...utils.params import always_shown
from .._signals import check_same, read_signals
from .inputs import to_network
from .table import DEEP, DeepModel
from .training import Plan, predict_logits, reproducible, train, validation_part


@always_shown("model")
@fill_doc
class DeepClassifier(ClassifierMixin, BaseEstimator):
    """Train a network from random weights on labelled windows, to compare with.

    Parameters
    ----------
    model : str | DeepModel
        A key of ``DEEP``: ``"sparcnet"``, ``"contrawr"``, ``"cnn-transformer"``, ``"ffcl"``,
        ``"st-transformer"``, ``"biot"``, ``"labram"``, ``"eegnet"`` (default) or ``"shallow"``; or
        a row of your own.
    sfreq : float | None
        Sampling rate in Hz of array input. Not needed (default ``None``) for Epochs, which know it.
    max_epochs : int | None
        Passes over the data. ``None`` (default) takes :meth:`DeepModel.epochs_for`: what the table
        says, and more with fewer than 1,450 windows. The next three: ``None`` takes what the table
        says.
    lr : float | None
        Peak learning rate of the one cycle that it runs through.
    batch_size : int | None
        Windows per step, 2 or more; the steps of an epoch are of equal size, as far as possible.
    weight_decay : float | None
        Weight decay of AdamW.
    class_balanced : bool
        Whether every class counts the same in the loss, however many windows it has. Default
        ``False``: every window counts the same.
    validation_fraction : float
        Share of the windows that ``fit`` keeps aside, whole groups if it is given any. Training
        ends when the loss on them has not fallen for ``patience`` epochs, and the weights of the
        best epoch stay. Default 0.0: train on all windows for all epochs.
    patience : int
        See ``validation_fraction``. Default 5 (BIOT code, run_binary_supervised.py).
    %(device)s
    %(random_state)s
    %(verbose)s

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels seen in ``fit``, sorted, as they were given.
    module_ : torch.nn.Module
        The trained network; maps scaled windows to logits.
    model_ : DeepModel
        The row of the table in use.
    history_ : list of dict
        Of each epoch ``epoch``, ``train_loss`` and, with a validation part, ``valid_loss``.
    ch_names_ : list of str
        Channels seen in ``fit``; ``ch0``, ``ch1``, … for arrays.
    sfreq_ : float
        Sampling rate seen in ``fit``, in Hz.
    n_times_ : int
        Length of the windows seen in ``fit``, in samples.

    See Also
    --------
    mne_neurolm.evaluation.band_power_classifier : What a network should beat.

    Notes
    -----
    Arrays are in volts, as Epochs are. Resampling and scaling, which differ between the networks,
    happen inside and treat every window by itself.

    A pickle holds the weights as arrays; loading builds the network anew.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation.deep import DeepClassifier
    >>> epochs = simulate_epochs(n_subjects=2, random_state=0)
    >>> net = DeepClassifier("st-transformer", max_epochs=1, random_state=0)
    >>> net.fit(epochs, epochs.metadata["state"]).predict_proba(epochs).shape
    (40, 2)
    """

    def __init__(
        self,
        model: str | DeepModel = "eegnet",
        *,
        sfreq: float | None = None,
        max_epochs: int | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        weight_decay: float | None = None,
        class_balanced: bool = False,
        validation_fraction: float = 0.0,
        patience: int = 5,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | str | int | None = None,
    ) -> None:
        self.model = model
        self.sfreq = sfreq
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.class_balanced = class_balanced
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: Any = None) -> DeepClassifier:
        """Train the network.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            Windows in volts, of one montage, rate and length.
        y : array-like, shape (n_epochs,)
            Labels of any kind that sorts.
        groups : array-like, shape (n_epochs,) | None
            Who each window is from. With ``validation_fraction`` the validation part consists of
            whole groups; of no other use. ``None`` (default) draws windows.

        Returns
        -------
        self : DeepClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter is not allowed, lengths differ, there is a single class, or windows are
            too short or hold too many channels for the network.
        TypeError
            If X is nothing that can be read.
        ImportError
            If the network is one of Braindecode's and that cannot be imported; it says what to
            install.
        FloatingPointError
            If the loss becomes infinite.
        """
        row = self._row()
        seed = int(check_random_state(self.random_state).randint(2**31))
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        plan = self._plan(row, seed, len(data))
        y = np.asarray(y)
        groups = None if groups is None else np.asarray(groups)
        for name, values in (("y", y), ("groups", groups)):
            if values is not None and values.shape != (len(data),):
                raise ValueError(
                    f"{name} must hold one value for each of the {len(data)} epochs of X; got an "
                    f"array of shape {values.shape}."
                )
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y holds a single class, {classes.tolist()}; a classifier needs two.")
        seconds = data.shape[-1] / sfreq
        if seconds < row.shortest - 0.5 / sfreq:  # half a sample of rounding
            raise ValueError(
                f"{row.title} needs windows of {row.shortest:g} s or more; got {seconds:.3g} s "
                f"({data.shape[-1]} samples at {sfreq:g} Hz). Cut longer windows, or take another "
                "model."
            )
        validation = None
        if self.validation_fraction:
            validation = validation_part(labels, groups, self.validation_fraction, seed)
        inputs, rate = to_network(data, sfreq, resamples=row.resamples, scaling=row.scaling)
        build = (inputs.shape[1], inputs.shape[2], len(classes), rate)
        device = resolve_device(self.device)
        with reproducible(seed, device):
            module = row.build(*build).to(device)
            history = train(
                module,
                inputs,
                labels.astype(np.int64),
                plan,
                weights=len(y) / (len(classes) * np.bincount(labels))
                if self.class_balanced
                else None,
                validation=validation,
                progress=shows_progress(self.verbose),
            )
        self.classes_, self.module_, self.history_ = classes, module.eval(), history
        self.model_, self._build = row, build
        self.ch_names_, self.sfreq_, self.n_times_ = ch_names, sfreq, data.shape[-1]
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            Windows in volts with the channels, rate and length of ``fit``.

        Returns
        -------
        proba : ndarray of float64, shape (n_epochs, n_classes)
            Softmax of the logits; columns as ``classes_``, rows sum to 1.

        Raises
        ------
        ValueError
            If channels, rate or length differ from ``fit``.
        """
        return softmax(self._logits(X), axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            As for ``predict_proba``.

        Returns
        -------
        y : ndarray, shape (n_epochs,)
            Labels as given to ``fit``.
        """
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    # --- parts -------------------------------------------------------------------------------

    def _row(self) -> DeepModel:
        if isinstance(self.model, DeepModel):
            return self.model
        if self.model not in DEEP:
            raise ValueError(
                f"model must be one of {', '.join(DEEP)}, or a DeepModel; got {self.model!r}."
            )
        return DEEP[self.model]

    def _plan(self, row: DeepModel, seed: int, n_windows: int) -> Plan:
        """Return how to train: the table's values, but for those that were given."""
        usual: dict[str, Any] = {
            "lr": row.lr,
            "weight_decay": row.weight_decay,
            "batch_size": row.batch_size,
            "max_epochs": row.epochs_for(n_windows),
        }
        given = {name: getattr(self, name) for name in usual}
        values = {name: usual[name] if v is None else v for name, v in given.items()}
        for name, least in (("batch_size", 2), ("max_epochs", 1)):
            if values[name] < least:
                raise ValueError(f"{name} must be at least {least}; got {values[name]}.")
        if not values["lr"] > 0:
            raise ValueError(f"lr must be above 0; got {values['lr']}.")
        if not values["weight_decay"] >= 0:
            raise ValueError(f"weight_decay must be 0 or above; got {values['weight_decay']}.")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1 epoch; got {self.patience}.")
        if not 0 <= self.validation_fraction <= 0.5:
            raise ValueError(
                "validation_fraction is a share of the windows from 0 (no validation) to 0.5; got "
                f"{self.validation_fraction}."
            )
        return Plan(patience=self.patience, seed=seed, **values)

    def _logits(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        check_same((self.ch_names_, self.sfreq_), ch_names, sfreq)
        if data.shape[-1] != self.n_times_:
            raise ValueError(
                f"Fitted on windows of {self.n_times_} samples, got {data.shape[-1]}. Cut windows "
                "of one length."
            )
        row = self.model_
        inputs, _ = to_network(data, sfreq, resamples=row.resamples, scaling=row.scaling)
        return predict_logits(self.module_, inputs, self.batch_size or row.batch_size)

    # --- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        module: nn.Module | None = state.pop("module_", None)
        if module is not None:
            weights = module.state_dict()
            state["_weights"] = {name: t.detach().cpu().numpy() for name, t in weights.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is None:
            return
        device = resolve_device(self.device)
        with torch.random.fork_rng(devices=[]):  # random weights, replaced at once
            module = self.model_.build(*self._build)
        module.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        self.module_ = module.to(device).eval()
