"""Stages 1 and 2 on data in memory, and a language model on text alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from ..models.neurolm import NeuroLM
from ..patches import Patches
from .config import (
    AUTOREGRESSIVE_DEFAULTS,
    TOKENIZER_DEFAULTS,
    RuntimeConfig,
    TrainingConfig,
)
from .data import EEGBatch, PatchesSource, Source
from .objectives import text_objective
from .plan import Bucket, Plan, Windows, make_windows
from .stages import AutoregressiveStage, Stage, TokenizerStage, given, language_model_parts
from .trainer import Trainer

# A loss that is not finite stops training in memory at once: there is somebody to look into it.
IN_MEMORY = RuntimeConfig(max_skipped=1)
# Batches of the published recipes are those of eight GPUs; here they are one GPU's.
_GPUS = 8


def train_tokenizer(
    model: NeuroLM,
    data: Sequence[Patches],
    *,
    text: np.ndarray | None = None,
    config: TrainingConfig | None = None,
) -> list[dict[str, float]]:
    """Stage 1: learn the neural tokenizer, in place (paper, section 2.2 and Eq. 2 to 6).

    Parameters
    ----------
    model : NeuroLM
        Its ``vq`` is trained.
    data : sequence of Patches
        Sets of samples; each has one montage and one length.
    text : ndarray of int, shape (n_tokens,) | None
        Text whose word embeddings, taken from the model's language model, the EEG is aligned with.
        None (default): no alignment.
    config : TrainingConfig | None
        None (default): Table 7 with the batches of one GPU.

    Returns
    -------
    history : list of dict
        Means per epoch: ``loss``, the sum of ``frequency`` and ``raw`` (mean squared errors of
        spectra and waveforms, both standardised), ``commitment``, and with text ``domain_eeg`` and
        ``domain_text`` (cross-entropies in nats); other targets of the model's configuration have
        names of their own. Beside it ``codebook_used``, the share of the codes in use, and
        ``codebook_perplexity``.

    Raises
    ------
    ValueError
        If there are no samples, there is text but no language model, or their widths differ, or the
        text is shorter than a row.
    FloatingPointError
        If a loss is not finite.

    Examples
    --------
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> from mne_neurolm.training import TrainingConfig, train_tokenizer
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=8, random_state=0)
    >>> data = [make_patches(epochs.pick(["Fz", "Cz", "Pz"]))]
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny", n_layer=1, text_config=None))
    >>> config = TrainingConfig(max_epochs=2, batch_size=8, progress=False)
    >>> history = train_tokenizer(model, data, config=config)
    >>> len(history), sorted(history[0])[2:]
    (2, ['commitment', 'frequency', 'loss', 'raw'])
    """
    config = config or per_gpu(TOKENIZER_DEFAULTS)
    _require_samples(data)
    stage = TokenizerStage(
        model, alignment=config.alignment, with_text=text is not None, seed=config.seed
    )
    return _train(stage, data, text, config)


def train_autoregressive(
    model: NeuroLM,
    data: Sequence[Patches],
    *,
    text: np.ndarray | None = None,
    config: TrainingConfig | None = None,
) -> list[dict[str, float]]:
    """Stage 2: teach the language model EEG, in place; the tokenizer stays as it is.

    The code of each channel's next second is predicted (paper, section 2.3 and Eq. 8), and the next
    token of text (Eq. 9).

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained.
    data : sequence of Patches
        Sets of samples of at least two seconds.
    text : ndarray of int, shape (n_tokens,) | None
        Text mixed into every step. None (default): EEG only.
    config : TrainingConfig | None
        None (default): Table 8 with the batches of one GPU.

    Returns
    -------
    history : list of dict
        Means per epoch: ``loss``, the sum of ``eeg`` and, with text, ``text`` (cross-entropies in
        nats); ``eeg_accuracy`` and ``text_accuracy``.

    Raises
    ------
    ValueError
        If there are no samples or there is no language model, samples last a single second, or the
        text is shorter than a row.
    FloatingPointError
        If a loss is not finite.

    Examples
    --------
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> from mne_neurolm.training import TrainingConfig, train_autoregressive, train_tokenizer
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=8, random_state=0)
    >>> data = [make_patches(epochs.pick(["Fz", "Cz", "Pz"]))]
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny", n_layer=1))
    >>> config = TrainingConfig(max_epochs=1, batch_size=8, progress=False)
    >>> _ = train_tokenizer(model, data, config=config)  # there must be codes to predict
    >>> history = train_autoregressive(model, data, config=config)
    >>> sorted(history[0])
    ['eeg', 'eeg_accuracy', 'loss']
    """
    config = config or per_gpu(AUTOREGRESSIVE_DEFAULTS)
    _require_samples(data)
    stage = AutoregressiveStage(model, reads_text=text is not None)
    return _train(stage, data, text, config)


def train_text(
    model: NeuroLM, text: np.ndarray, *, n_steps: int, config: TrainingConfig
) -> list[dict[str, float]]:
    """Train the language model on text alone, in place.

    A model that starts from GPT-2 needs no such stage; one that starts from nothing has no word
    embeddings to align EEG with before it.

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained.
    text : ndarray of int, shape (n_tokens,)
        The corpus.
    n_steps : int
        Steps per epoch.
    config : TrainingConfig
        Optimiser and schedule.

    Returns
    -------
    history : list of dict
        Means per epoch of ``loss``, the cross-entropy of the next token in nats, and ``accuracy``.

    Raises
    ------
    ValueError
        If the text is shorter than a row, ``n_steps`` is below 1, or there is no language model.
    FloatingPointError
        If a loss is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> from mne_neurolm.training import TrainingConfig, train_text
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny", n_layer=1))
    >>> text = np.tile([1, 2, 3], 200)  # ids of the text tokenizer
    >>> config = TrainingConfig(
    ...     max_epochs=3, lr=1e-3, text_batch_size=4, text_length=32, progress=False
    ... )
    >>> history = train_text(model, text, n_steps=5, config=config)
    >>> history[-1]["loss"] < history[0]["loss"], history[-1]["accuracy"]
    (True, 1.0)
    """
    nowhere = make_windows([(Bucket((), 0), step, 0, 0, -1) for step in range(n_steps)])
    source = _NoEEG(nowhere, Plan(nowhere.bucket, 1, config.seed))
    return fit(_TextStage(model), source, config, text)


def fit(
    stage: Stage, source: Source, config: TrainingConfig, text: np.ndarray | None
) -> list[dict[str, float]]:
    """Train a stage without leaving files; returns the mean of each loss per epoch."""
    return Trainer(stage, source, config, text=text, runtime=IN_MEMORY).fit()


def set_windows(
    shapes: Sequence[tuple[Sequence[int], int, int]],
    lengths: Sequence[int],
    labels: Sequence[np.ndarray] | None = None,
) -> Windows:
    """Return the samples of sets in memory as windows.

    Parameters
    ----------
    shapes : sequence of (channels, n_seconds, task)
        What the samples of each set share.
    lengths : sequence of int
        Samples of each set.
    labels : sequence of ndarray of int | None
        Labels of each set.

    Returns
    -------
    windows : Windows
        ``recording`` counts sets and ``start`` their samples. Every set is a bucket of its own.
    """
    # A batch must come from one array: buckets are numbered by set, not by shape.
    buckets = [Bucket(tuple(channels), seconds, task) for channels, seconds, task in shapes]
    number = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.concatenate([np.arange(n) for n in lengths]) if lengths else np.zeros(0)
    label = np.full(len(rows), -1) if labels is None else np.concatenate(labels)
    return Windows(
        buckets,
        number.astype(np.int32),
        number.astype(np.int32),
        rows.astype(np.int64),
        np.zeros(len(rows), dtype=np.int64),
        label.astype(np.int64),
    )


def per_gpu(config: TrainingConfig) -> TrainingConfig:
    """Return a published recipe with the batches that one of its eight GPUs had."""
    return dataclasses.replace(
        config,
        batch_size=config.batch_size // _GPUS,
        text_batch_size=config.text_batch_size // _GPUS,
    )


def _train(
    stage: Stage, data: Sequence[Patches], text: np.ndarray | None, config: TrainingConfig
) -> list[dict[str, float]]:
    shapes = [(p.channels[: p.n_channels].tolist(), p.n_seconds, -1) for p in data]
    windows = set_windows(shapes, [len(p) for p in data])
    source = PatchesSource(data, windows, Plan(windows.bucket, config.batch_size, config.seed))
    return fit(stage, source, config, text)


def _require_samples(data: Sequence[Patches]) -> None:
    if not sum(map(len, data)):
        raise ValueError(
            f"No samples: got {len(data)} sets with nothing in them; pass a list of Patches, as "
            "mne_neurolm.patches.make_patches returns."
        )


class _TextStage(Stage):
    """Next-token prediction on text alone."""

    name = "text"
    description = "text"

    def __init__(self, model: NeuroLM) -> None:
        model._require_language_model()
        super().__init__(model)

    def trained(self) -> list[nn.Module]:
        """Return the language model with its head."""
        return language_model_parts(self.model)

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return loss and accuracy."""
        terms = text_objective(self.model, given(text))
        return {name: value * text_share for name, value in terms.items()}


class _NoEEG(Source):
    """Steps without EEG."""

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        """Return a batch of nothing."""
        return EEGBatch(**self._template(bucket, rows))
