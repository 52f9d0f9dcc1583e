"""Answers to a question about EEG, as a scikit-learn classifier."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from skorch import NeuralNet

from ._answering import AnswersQuestions
from ._classifier_checks import check_length, check_parameters, count_epochs, holds_out, read_labels
from ._classifier_state import pack, unpack
from ._net_parameters import NetParameters
from .models.config import NeuroLMConfig
from .models.hub import load_language_model
from .models.neurolm import NeuroLM
from .models.revision import NamesRevision
from .tasks import Task, get_task
from .tokens import EEGTokens
from .training.answer_net import AnswerModule, make_net, net_inputs
from .training.calibration import fit_temperature
from .training.hidden_cache import HiddenCache, cached_tokens
from .training.holdout import hold_out
from .training.net_callbacks import HeldOut
from .training.tuned_parts import prepare_tuning
from .utils.device import resolve_device
from .utils.docs import fill_doc
from .utils.logging import shows_progress
from .utils.params import always_shown


@always_shown("model", "revision")
@fill_doc
class NeuroLMClassifier(NamesRevision, AnswersQuestions, ClassifierMixin, NetParameters):
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
        (needs ``peft``); its ``"head"``, that is the last transformer block and what follows it,
        for which a larger ``lr`` such as 3e-3 serves; or nothing, which is zero-shot
        classification: ``fit`` then only records the classes, and fits the temperature.
    %(ch_names_array)s
    %(sfreq_array)s
    %(unit_array)s
    %(on_missing)s
    revision : str | None
        Revision of a model on the hub: a branch, tag or commit.
    %(device)s
    %(dtype)s
    batch_size : int
        Epochs in a step of training, and that pass through the network at a time. Default 32; the
        paper has 64 on each of 8 GPUs (Table 9).
    lr : float
        Peak learning rate. Default 5e-4 (Table 9).
    max_epochs : int
        Passes over the data. Default 3; Table 9 has 5, for sets of many thousands of epochs.
    weight_decay : float
        Weight decay of matrices and embeddings. Default 0.1 (Table 9).
    warmup : float
        Share of the steps spent on linear warm-up, before half a cosine down to a tenth of ``lr``.
        Default 0.1 (Table 9).
    grad_clip : float
        Largest norm of the gradient. Default 1.0 (Table 9).
    calibration : "auto" | "temperature" | None
        Divide the answers' log-probabilities by a temperature, which changes how sure predictions
        are and not what they are. ``"temperature"`` fits one that makes held-out epochs the
        likeliest (Guo et al. 2017, section 4.2): ``validation_fraction`` of those given to ``fit``,
        or all of them with ``tune=None``. ``"auto"`` (default): with ``tune=None`` the one that
        :func:`tune_instructions` has kept with the model for a task of this name, if there is one;
        else none. None: no temperature.
    validation_fraction : float
        Share of the epochs that are held out, by ``groups`` if ``fit`` is given some. Nothing is
        held out unless ``patience`` or ``calibration="temperature"`` asks for it. Default 0.2.
    patience : int | None
        Stop after this many passes in a row without an improvement on what is held out, and take
        the weights of the best. Default None: all ``max_epochs``.
    monitor : "loss" | "balanced_accuracy"
        What must improve: negative log-likelihood among the answers (default), or balanced
        accuracy.
    channel_dropout : float
        Probability that a channel's tokens are left out of a batch in training: faster, and better
        for people who were not seen. Default 0.4; the paper has 0.
    mixup : float
        Mix the hidden states of each epoch with those of another of its batch, and its answer too,
        in a share that is drawn for each batch from Beta(mixup, mixup) (Zhang et al. 2018; Verma et
        al. 2019). The epoch itself keeps half or more. Default 0: no mixing, as in the paper.
    label_smoothing : float
        Weight that training takes from the right answer and spreads over all. Default 0.
    contrast : float
        Weight of the right answer's log-probability among the task's answers, beside that as text.
        Default 1; the paper has 0 (Eq. 10).
    average : float
        Decay of an exponential moving average of the weights, such as 0.99, which is what is
        validated and predicts. After t steps it is at most (1 + t) / (10 + t), so that 0.98 and
        0.99 are the same in the first 440 steps. Default 0.98; 0 takes the weights as they are, as
        the paper.
    cache : str | pathlib.Path | HiddenCache | None
        Folder in which the frozen encoder's hidden states are kept, so that other fits and
        predictions with the same EEG need not compute them. Default None: no cache.
    %(random_state)s
    %(verbose)s
    **skorch_params
        Anything else for the :class:`skorch.NeuralNet` that trains: names with a double underscore
        such as ``optimizer__betas`` or ``iterator_train__num_workers``, and ``callbacks``,
        ``train_split``, ``optimizer``, ``dataset``, ``compile``. They are for training and
        validation; predictions are made without skorch.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels seen in ``fit``, sorted, as they were given.
    net_ : skorch.NeuralNet
        The net that was trained; ``net_.history`` has the losses.
    model_ : NeuroLM
        The tuned model.
    task_ : Task
        The task.
    temperature_ : float
        What the log-probabilities are divided by; 1.0 without calibration.

    See Also
    --------
    NeuroLMTokenizer : Makes the tokens; the classifier uses one of its own for anything else.
    tune_instructions : Tune one model on many tasks.
    ask : Ask a model several questions about the same EEG at once.

    Notes
    -----
    A longer answer is less likely as text, before anything is tuned: for zero-shot classification
    use answers of equal length, in words, since the bundled models have not learnt to read options
    listed by letter. Tuned on the task, a classifier learns what each letter stands for, so
    ``NeuroLMClassifier("hmc")`` works with ``"tiny"``.

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

    # With scikit-learn's metadata routing, groups reach fit without being asked for.
    __metadata_request__fit = {"groups": True}

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
        max_epochs: int = 3,
        weight_decay: float = 0.1,
        warmup: float = 0.1,
        grad_clip: float = 1.0,
        calibration: str | None = "auto",
        validation_fraction: float = 0.2,
        patience: int | None = None,
        monitor: str = "loss",
        channel_dropout: float = 0.4,
        mixup: float = 0.0,
        label_smoothing: float = 0.0,
        contrast: float = 1.0,
        average: float = 0.98,
        cache: str | Path | HiddenCache | None = None,
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
        self.calibration = calibration
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.monitor = monitor
        self.channel_dropout = channel_dropout
        self.mixup = mixup
        self.label_smoothing = label_smoothing
        self.contrast = contrast
        self.average = average
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose
        self.skorch_params = skorch_params

    # --- fit ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, groups: Any = None) -> NeuroLMClassifier:
        """Tune the model on EEG and labels.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            Tokens, or anything that :class:`NeuroLMTokenizer` takes.
        y : array-like, shape (n_epochs,)
            Labels as the task names them, the words of its answers, or integers 0 to n - 1, which
            stand for the answers in order (yes/no tasks: No = 0, Yes = 1).
        groups : array-like, shape (n_epochs,) | None
            Groups, such as subjects, of which none is both trained on and held out. None (default):
            single epochs are held out, which of overlapping windows tells too little.

        Returns
        -------
        self : NeuroLMClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If labels do not belong to the task, there is only one class, X and y differ in length,
            tokens come from another encoder, a parameter is not allowed, or there are too few
            epochs or groups to hold some out.
        """
        check_parameters(self)
        task = get_task(self.task)
        labels = read_labels(task, y, tune=self.tune)
        seed = int(check_random_state(self.random_state).randint(2**31))
        # Labels and groups can be wrong too, and tokens take time: these come first.
        check_length(count_epochs(X), labels)
        train: Any = slice(None)
        rows = None
        if holds_out(self):
            train, rows = hold_out(labels.numbers, groups, self.validation_fraction, seed)
        model, encoder_id = self._load_model(seed)
        # Everything that can be refused is, before anything of an earlier fit is replaced.
        tokens = self._as_tokens(X, model, encoder_id)
        check_length(len(tokens), labels)
        held_out = None
        if rows is not None:
            held_out = HeldOut(net_inputs(tokens[rows]), labels.numbers[rows])
        net = self._make_net(model, task, labels.answers, seed, held_out)
        if self.tune is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # dropout, if there is any
                net.fit(net_inputs(tokens[train]), labels.numbers[train])
        model.eval()
        if self.tune is None and self.calibration == "temperature":
            held_out = HeldOut(net_inputs(tokens), labels.numbers)
        self.temperature_ = self._temperature(model, task, net, held_out)
        if self.tune is not None:  # what came with the model was of other weights
            kept = self.calibration == "temperature"
            model.config.temperatures = {task.name: self.temperature_} if kept else {}
        self.task_, self.classes_, self.tune_ = task, labels.classes, self.tune
        self.model_, self.net_, self._encoder_id = model, net, encoder_id
        self._answers = labels.answers
        return self

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
        self,
        model: NeuroLM,
        task: Task,
        answers: NDArray[np.int64],
        seed: int,
        held_out: HeldOut | None = None,
    ) -> NeuralNet:
        """Return the net over a model, initialised."""
        encoded = task.encode(model.text_tokenizer, model.config.sep_token_id)
        module = AnswerModule(
            model,
            encoded.prompt,
            [encoded.answers[i] for i in answers],
            self.dtype,
            self.channel_dropout,
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
            mixup=self.mixup,
            label_smoothing=self.label_smoothing,
            contrast=self.contrast,
            average=self.average,
            patience=self.patience,
            monitor=self.monitor,
            held_out=held_out,
            **self.skorch_params,
        )
        return net.initialize()

    def _as_tokens(self, X: Any, model: NeuroLM, encoder_id: str | None) -> EEGTokens:
        """Return tokens, the only way data come in."""
        return cached_tokens(
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
            cache=self.cache,
        )

    def _temperature(
        self, model: NeuroLM, task: Task, net: NeuralNet, held_out: HeldOut | None
    ) -> float:
        if self.calibration == "temperature":
            assert held_out is not None
            return fit_temperature(net.predict_proba(held_out.inputs), held_out.labels)
        kept = self.calibration == "auto" and self.tune is None
        return model.config.temperatures.get(task.name, 1.0) if kept else 1.0

    # --- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # The net is rebuilt on loading. Only what training changed is kept: the parameter `model`
        # brings the rest back, unless it is a configuration, whose first weights were random.
        state = dict(super().__getstate__())
        if "net_" in state:
            net, model = state.pop("net_"), state.pop("model_")
            state["_packed"] = pack(
                model, self.tune_, everything=isinstance(self.model, NeuroLMConfig)
            )
            state["_history"] = net.history
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed, history = state.pop("_packed", None), state.pop("_history", None)
        super().__setstate__(state)
        if packed is None:
            return
        asked, self.tune = self.tune, self.tune_  # as of fit, whatever was set since
        try:
            model, _ = self._load_model(seed=0)
            unpack(model, packed, self.model)
            net = self._make_net(model, self.task_, self._answers, seed=0)
        finally:
            self.tune = asked
        net.history_ = history
        self.model_, self.net_ = model.eval(), net
