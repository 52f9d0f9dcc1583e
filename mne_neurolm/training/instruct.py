"""Stage 3: instruction tuning over one or several tasks at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..models.hub import load_model
from ..models.inference import as_tokens
from ..models.neurolm import NeuroLM
from ..models.text import encode_text
from ..tasks import Task, get_task
from ..tokens import EEGTokens
from ..utils.device import resolve_device
from .config import INSTRUCTION_DEFAULTS, TrainingConfig
from .data import TokensSource
from .memory import fit, per_gpu, set_windows
from .plan import Plan
from .stages import InstructionStage


class _Set(NamedTuple):
    """Samples of one task."""

    task: Task
    tokens: EEGTokens
    labels: np.ndarray


def tune_instructions(
    data: Mapping[str | Task, tuple[Any, Any]],
    model: str | NeuroLM = "tiny",
    *,
    text: str | None = None,
    shuffle_options: bool = False,
    config: TrainingConfig | None = None,
    device: str = "auto",
) -> NeuroLM:
    """Tune one model on many tasks jointly (paper, section 2.4).

    Parameters
    ----------
    data : mapping of task to (X, y)
        For each task, by name or as :class:`Task`, EEG and labels. X is :class:`EEGTokens`, or
        ``mne.Epochs``, or a list of them. Montage and length may differ between tasks.
    model : str | NeuroLM
        What to start from. Default the bundled ``"tiny"``.
    text : str | None
        Plain text that is mixed into every step, so that the model does not unlearn language.
        None: no text.
    shuffle_options : bool
        List the options of multiple-choice tasks in random order, so that the model must read
        them (paper, Figure 5). Default False.
    config : TrainingConfig | None
        None: Table 9 with the batches of one GPU.
    device : str
        Where to train. Default ``"auto"``.

    Returns
    -------
    model : NeuroLM
        A tuned copy, in evaluation mode, to be given to :class:`NeuroLMClassifier` with
        ``tune=None``, one classifier per task. ``model.history`` holds the losses per epoch.

    Raises
    ------
    ValueError
        If there is no task or no epoch, a label does not belong to its task, X and y differ in
        length, or tokens come from another encoder.

    Examples
    --------
    >>> from mne_neurolm import tune_instructions
    >>> model = tune_instructions({"workload": (epochs, y), my_task: (other_epochs, z)})
    ... # doctest: +SKIP
    """
    if not data:
        raise ValueError("No data: pass {task: (X, y), ...} with at least one task.")
    model = copy.deepcopy(load_model(model))
    model._require_language_model()
    config = config or per_gpu(INSTRUCTION_DEFAULTS)
    model.to(resolve_device(device))
    encoder_id = model.encoder_id()
    sets = [_make_set(model, encoder_id, get_task(task), *xy) for task, xy in data.items()]
    stage = InstructionStage(
        model,
        [s.task for s in sets],
        shuffle_options=shuffle_options,
        seed=config.seed,
    )
    windows = set_windows(
        [
            (s.tokens.channels[: s.tokens.n_channels].tolist(), s.tokens.n_seconds, i)
            for i, s in enumerate(sets)
        ],
        [len(s.labels) for s in sets],
        [s.labels for s in sets],
    )
    source = TokensSource(
        [s.tokens for s in sets],
        windows,
        Plan(windows.bucket, config.batch_size, config.seed),
        weights=stage.weights,
    )
    corpus = None if text is None else np.asarray(encode_text(model.text_tokenizer, text))
    model.history = fit(stage, source, config, corpus)
    return model


def _make_set(model: NeuroLM, encoder_id: str, task: Task, X: Any, y: Any) -> _Set:
    tokens = as_tokens(X, model, encoder_id)
    if not len(tokens):
        raise ValueError(f"Task {task.name!r} has no epochs; leave it out, or pass some.")
    labels = task.label_indices(y)
    if len(labels) != len(tokens):
        raise ValueError(f"Task {task.name!r}: {len(tokens)} epochs, but {len(labels)} labels.")
    return _Set(task, tokens, labels)
