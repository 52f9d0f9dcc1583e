"""Stage 3: instruction tuning over one or several tasks at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.hub import load_model
from ..models.inference import as_tokens
from ..models.neurolm import NeuroLM
from ..models.text import encode_text
from ..tasks import EncodedTask, Task, get_task
from ..tokens import EEGTokens
from ..utils.device import resolve_device
from .data import Batch, shuffled_batches, text_rows
from .loop import TrainingConfig, run
from .objectives import instruction_objective
from .stages import add_text, language_model_parts

# Table 9 of the paper.
INSTRUCTION_DEFAULTS = TrainingConfig(
    max_epochs=5, lr=5e-4, min_lr=5e-5, text_batch_size=16, text_length=1024
)


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
    config: TrainingConfig = INSTRUCTION_DEFAULTS,
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
    config : TrainingConfig
        Default: Table 9.
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
    tokenizer, target = model.text_tokenizer, resolve_device(device)
    if tokenizer is None:
        raise ValueError("The model has no text tokenizer; load one into model.text_tokenizer.")
    model.to(target)
    encoder_id = model.encoder_id()
    sets = [_make_set(model, encoder_id, get_task(task), *xy) for task, xy in data.items()]
    model.requires_grad_(False)  # the loop trains the language model only
    encoded = [s.task.encode(tokenizer, model.config.sep_token_id) for s in sets]
    corpus = None if text is None else np.asarray(encode_text(tokenizer, text))

    def questions(source: int, step: int) -> EncodedTask:
        task = sets[source].task
        if not (shuffle_options and task.options):
            return encoded[source]
        rng = np.random.default_rng([config.random_state, 2, step])
        order = rng.permutation(len(task.answers)).tolist()
        return task.encode(tokenizer, model.config.sep_token_id, order)

    def objective(batch: Batch, step: int, n_steps: int) -> dict[str, Tensor]:
        tokens, labels = sets[batch.source].tokens, sets[batch.source].labels
        prompt, answers = (lambda e: (e.prompt, e.answers))(questions(batch.source, step))
        losses = instruction_objective(
            model,
            torch.from_numpy(tokens.hidden[batch.rows]).to(target),
            torch.from_numpy(tokens.channels).to(target),
            torch.from_numpy(tokens.times).to(target),
            prompt,
            answers,
            torch.from_numpy(labels[batch.rows]).to(target),
        )
        if corpus is not None:
            rows = text_rows(
                corpus,
                config.text_batch_size,
                config.text_length,
                seed=config.random_state,
                step=step,
            )
            losses |= add_text(model, losses["loss"], rows.to(target))
        return losses

    model.history = run(
        language_model_parts(model),
        objective,
        lambda epoch: shuffled_batches(
            [len(s.labels) for s in sets], config.batch_size, seed=config.random_state, epoch=epoch
        ),
        config,
        description="instruction tuning",
    )
    return model


def _make_set(model: NeuroLM, encoder_id: str, task: Task, X: Any, y: Any) -> _Set:
    tokens = as_tokens(X, model, encoder_id)
    if not len(tokens):
        raise ValueError(f"Task {task.name!r} has no epochs; leave it out, or pass some.")
    labels = task.label_indices(y)
    if len(labels) != len(tokens):
        raise ValueError(f"Task {task.name!r}: {len(tokens)} epochs, but {len(labels)} labels.")
    return _Set(task, tokens, labels)
