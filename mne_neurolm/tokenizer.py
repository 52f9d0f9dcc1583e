"""EEG to tokens, as a scikit-learn transformer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .models.config import NeuroLMConfig
from .models.hub import is_reloadable, load_model
from .models.inference import encode_patches
from .models.neurolm import NeuroLM
from .models.revision import NamesRevision
from .patches import PATCH_SIZE, Patches, make_patches
from .tokens import EEGTokens, feature_names
from .utils.device import resolve_device, resolve_dtype
from .utils.docs import fill_doc
from .utils.logging import shows_progress
from .utils.params import always_shown

OUTPUTS = ("tokens", "codes", "embeddings")


@always_shown("model", "revision")
@fill_doc
class NeuroLMTokenizer(NamesRevision, TransformerMixin, BaseEstimator):
    """Turn EEG into tokens with the neural tokenizer (paper, section 2.2).

    A pretrained tokenizer is frozen: ``fit`` only loads it and checks the data. Given a
    configuration instead of a name, ``fit`` trains a tokenizer and its codebook on the data.

    Parameters
    ----------
    model : str | pathlib.Path | NeuroLM | NeuroLMConfig
        The network: ``"tiny"`` (default), which is part of the package and works offline;
        ``"neurolm-b"``, ``"neurolm-l"`` or ``"neurolm-xl"``, the authors' released weights,
        downloaded and converted on first use; a directory written by ``save_pretrained`` or by
        the convert command; a ``.pt`` file of the released format; the id of a repository on the
        Hugging Face hub; or a model in memory. A configuration trains a new tokenizer.
    output : "tokens" | "codes" | "embeddings"
        What ``transform`` returns. Default ``"tokens"``.
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
        Peak learning rate when ``model`` is a configuration. Default 5e-4; the paper's 5e-5
        (Table 7) is for 25,000 hours.
    max_epochs : int
        Passes over the data when ``model`` is a configuration. Default 20.
    weight_decay : float
        Weight decay when ``model`` is a configuration. Default 1e-4 (Table 7).
    %(random_state)s
    %(verbose)s

    Attributes
    ----------
    model_ : NeuroLM
        The network.
    ch_names_ : tuple of str
        Names of the channels that are used, in order.
    channels_, times_ : ndarray of int64, shape (n_tokens,)
        Vocabulary row and second of each token of the epochs seen in ``fit``.
    history_ : list of dict
        Losses per epoch of training; empty for a pretrained tokenizer.

    See Also
    --------
    NeuroLMClassifier : Answers questions about tokens.

    Notes
    -----
    Tokens are time-major: all channels of the first second, then of the next.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    >>> NeuroLMTokenizer(output="codes").fit_transform(epochs).shape
    (2, 76)
    """

    def __init__(
        self,
        model: str | Path | NeuroLM | NeuroLMConfig = "tiny",
        output: str = "tokens",
        *,
        ch_names: list[str] | None = None,
        sfreq: float | None = None,
        unit: str | None = None,
        on_missing: str = "raise",
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 64,
        lr: float = 5e-4,
        max_epochs: int = 20,
        weight_decay: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | str | int | None = None,
    ) -> None:
        self.model = model
        self.output = output
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
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> NeuroLMTokenizer:
        """Load the tokenizer and check the data, or train a tokenizer on them.

        Parameters
        ----------
        X : mne.BaseEpochs | list of mne.BaseEpochs | ndarray, shape (n_epochs, n_chans, n_times)
            The EEG, in volts, or in the ``unit`` given for an array.
        y : None
            Not used.

        Returns
        -------
        self : NeuroLMTokenizer
            The fitted tokenizer.

        Raises
        ------
        ValueError
            If the data can't be tokenized or a parameter is not allowed; the message says why.
        """
        self._fit_patches(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # as of scikit-learn's mixin
        """Fit and tokenize; data are checked and resampled once.

        Parameters
        ----------
        X : mne.BaseEpochs | list of mne.BaseEpochs | ndarray, shape (n_epochs, n_chans, n_times)
            The EEG, in volts, or in the ``unit`` given for an array.
        y : None
            Not used.

        Returns
        -------
        tokens : EEGTokens | ndarray
            As of :meth:`transform`.

        Raises
        ------
        ValueError
            If the data can't be tokenized or a parameter is not allowed; the message says why.
        """
        return self._encode(self._fit_patches(X))

    def transform(self, X: Any) -> EEGTokens | NDArray[Any]:
        """Tokenize EEG.

        Parameters
        ----------
        X : mne.BaseEpochs | list of mne.BaseEpochs | ndarray, shape (n_epochs, n_chans, n_times)
            The EEG. Length may differ from that seen in ``fit``; the same channels in another order
            are put in order. Other channels are tokenized too, but features and codes, whose
            columns would no longer be the same, are then refused.

        Returns
        -------
        tokens : EEGTokens | ndarray
            Depends on ``output``: ``"tokens"``, :class:`EEGTokens`, which any scikit-learn
            estimator takes as a feature matrix; ``"codes"``, int64 (n_epochs, n_tokens);
            ``"embeddings"``, float32 (n_epochs, n_tokens, n_embd).

        Raises
        ------
        ValueError
            If the data can't be tokenized, or columns are asked for (``output="codes"``, or
            scikit-learn's ``set_output``) and channels or length differ from those of ``fit``.
        """
        check_is_fitted(self, "model_")
        return self._encode(self._check_data(X))

    def inverse_transform(self, X: EEGTokens | NDArray[Any]) -> NDArray[np.float32]:
        """Reconstruct waveforms from codes.

        Parameters
        ----------
        X : EEGTokens | ndarray of int, shape (n_epochs, n_tokens)
            Tokens, or codes of epochs with the montage and length seen in ``fit``.

        Returns
        -------
        waveforms : ndarray of float32, shape (n_epochs, n_chans, n_times)
            At 200 Hz. The decoder predicts EEG z-scored over each epoch (paper, Eq. 2), so these
            have no unit.

        Raises
        ------
        ValueError
            If codes do not fit the montage and length, or are outside the codebook.
        """
        check_is_fitted(self, "model_")
        if isinstance(X, EEGTokens):
            codes, channels, times = X.codes, X.channels, X.times
        else:
            codes, channels, times = np.asarray(X), self.channels_, self.times_
        size = self.model_.config.codebook_size
        if codes.ndim != 2 or codes.shape[1] != len(times) or codes.dtype.kind not in "iu":
            raise ValueError(
                f"Codes must be integers of shape (n_epochs, {len(times)}), the tokens of "
                f"{len(self.ch_names_)} channels; got {codes.dtype} of shape {codes.shape}. For "
                "another montage or length pass EEGTokens (output='tokens')."
            )
        if codes.size and not 0 <= codes.min() <= codes.max() < size:
            raise ValueError(f"Codes must lie between 0 and {size - 1}, the codebook's size.")
        device = self.model_.device
        n_seconds = int(times.max()) + 1
        parts = []
        with torch.inference_mode():
            for start in range(0, len(codes), self.batch_size):
                batch = codes[start : start + self.batch_size].astype(np.int64)
                _, decoded = self.model_.vq.decode_codes(
                    torch.from_numpy(batch).to(device),
                    torch.from_numpy(channels).to(device),
                    torch.from_numpy(times).to(device),
                )
                parts.append(decoded.float().cpu().numpy())
        raw = np.concatenate(parts) if parts else np.empty((0, len(times), PATCH_SIZE), np.float32)
        n_chans = len(times) // n_seconds
        raw = raw.reshape(len(codes), n_seconds, n_chans, PATCH_SIZE).transpose(0, 2, 1, 3)
        return raw.reshape(len(codes), n_chans, n_seconds * PATCH_SIZE)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return names of the columns of ``transform``'s output.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        names : ndarray of object, shape (n_features,)
            ``Cz_mean_017`` (mean over time of a channel's 17th hidden dimension) for
            ``output="tokens"``, ``Cz_3s`` (code of a channel's fourth second) for ``"codes"``.

        Raises
        ------
        ValueError
            For ``output="embeddings"``, which has three axes and so no columns.
        """
        check_is_fitted(self, "model_")
        if self.output == "embeddings":
            raise ValueError(
                "output='embeddings' has three axes and no columns; use output='tokens' or 'codes' "
                "for tables."
            )
        if self.output == "tokens":
            names = feature_names(self.ch_names_, self.model_.config.n_embd)
        else:
            per_second = len(self.ch_names_)
            names = [f"{self.ch_names_[i % per_second]}_{t}s" for i, t in enumerate(self.times_)]
        return np.asarray(names, dtype=object)

    def _check_parameters(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {OUTPUTS}; got {self.output!r}.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {self.batch_size}.")

    def _fit_patches(self, X: Any) -> Patches:
        """Fit, and return the patches of the data."""
        self._check_parameters()
        device = resolve_device(self.device)
        resolve_dtype(self.dtype, device)  # refuses a wrong one before anything is computed
        patches = self._check_data(X)
        self.history_: list[dict[str, float]] = []
        if isinstance(self.model, NeuroLMConfig):
            self.model_ = self._train(self.model, patches)
        else:
            # A model in memory is shared, not copied: nothing here changes its weights.
            self.model_ = load_model(self.model, revision=self.revision)
        self.model_.to(device)
        self._encoder_id = self.model_.encoder_id()
        self.ch_names_ = patches.ch_names
        self.channels_, self.times_ = patches.channels, patches.times
        return patches

    def _encode(self, patches: Patches) -> EEGTokens | NDArray[Any]:
        """Return what ``output`` asks for."""
        self._check_parameters()  # they may have been set since fit
        fitted = self.channels_[: len(self.ch_names_)]
        tokens = encode_patches(
            self.model_,
            patches.reorder(fitted),
            batch_size=self.batch_size,
            dtype=self.dtype,
            progress=shows_progress(self.verbose),
        )
        tokens = replace(tokens, fitted_channels=fitted)
        same = np.array_equal(tokens.channels, self.channels_)
        if self.output == "codes" and not same:
            raise ValueError(
                f"Codes are a table with one column per channel and second: fit saw "
                f"{len(self.ch_names_)} channels and {len(self.channels_)} tokens, these epochs "
                f"have {tokens.n_channels} channels and {len(tokens.channels)} tokens, or other "
                "channels. Fit on this montage, or use output='tokens'."
            )
        as_table = self._gives_tables()
        if as_table:
            self.get_feature_names_out()  # refuses what has no columns
            if not same:
                raise ValueError(
                    "Columns are named after the channels and the length of the epochs in fit "
                    f"({len(self.ch_names_)} channels, {len(self.times_)} tokens); these have "
                    f"{tokens.n_channels} channels and {len(tokens.times)} tokens. Fit again, or "
                    "use set_output(transform='default')."
                )
        if self.output == "codes":
            return tokens.codes
        if self.output == "embeddings":
            return tokens.hidden
        return np.asarray(tokens) if as_table else tokens

    def _check_data(self, X: Any) -> Patches:
        return make_patches(
            X,
            ch_names=self.ch_names,
            sfreq=self.sfreq,
            unit=self.unit,
            on_missing=self.on_missing,
            verbose=self.verbose,
        )

    def _gives_tables(self) -> bool:
        """Whether scikit-learn will make a data frame of the output (``set_output``)."""
        own = getattr(self, "_sklearn_output_config", {})
        return own.get("transform", get_config()["transform_output"]) != "default"

    def _train(self, config: NeuroLMConfig, patches: Patches) -> NeuroLM:
        # Most tokenizers are not trained, and need no trainer.
        from .training.config import TrainingConfig
        from .training.memory import train_tokenizer

        seed = int(check_random_state(self.random_state).randint(2**31))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = NeuroLM(config)
        model.to(resolve_device(self.device))
        schedule = TrainingConfig(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            min_lr=self.lr / 5,  # as from 5e-5 to 1e-5 in Table 7
            weight_decay=self.weight_decay,
            betas=(0.9, 0.999),
            seed=seed,
            progress=shows_progress(self.verbose),
        )
        self.history_ = train_tokenizer(model, [patches], config=schedule)
        return model

    def __getstate__(self) -> dict[str, Any]:
        # Weights that the name brings back are not worth a copy in every pickle.
        state = dict(super().__getstate__())
        if is_reloadable(self.model):
            state.pop("model_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "channels_" in state and "model_" not in state:
            self.model_ = load_model(self.model, revision=self.revision)
            self.model_.to(resolve_device(self.device))
            if self.model_.encoder_id() != self._encoder_id:
                raise ValueError(
                    f"This tokenizer was fitted with another model than the one that "
                    f"model={self.model!r} now stands for, so its codes would differ. Install the "
                    "version of mne-neurolm that it was fitted with, or fit again."
                )
