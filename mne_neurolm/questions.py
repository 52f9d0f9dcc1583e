"""Several questions about the same EEG."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .models.hub import load_language_model
from .models.inference import as_tokens, score_answers
from .models.scoring import check_question
from .tasks import Task, get_task
from .training.calibration import calibrated
from .utils.device import resolve_device
from .utils.docs import fill_doc
from .utils.logging import shows_progress

if TYPE_CHECKING:
    import pandas as pd

    from .models.neurolm import NeuroLM

CALIBRATION = ("auto", None)


@fill_doc
def ask(
    model: str | Path | NeuroLM,
    X: Any,
    tasks: str | Task | Sequence[str | Task],
    *,
    calibration: str | None = "auto",
    ch_names: list[str] | None = None,
    sfreq: float | None = None,
    unit: str | None = None,
    on_missing: str = "raise",
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: str = "auto",
    batch_size: int = 32,
    verbose: bool | str | int | None = None,
) -> dict[str, pd.DataFrame]:
    """Ask a model several questions about the same EEG, which it reads only once.

    The probabilities are those of a :class:`NeuroLMClassifier` with ``tune=None`` for each of the
    tasks, in a fraction of the time: the questions hang side by side on the EEG, and none sees
    another.

    Parameters
    ----------
    %(model)s
    X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
        Tokens, or anything that :class:`NeuroLMTokenizer` takes.
    tasks : str | Task | sequence of str | Task
        What to ask: tasks of the paper by name, or your own.
    calibration : "auto" | None
        Divide log-probabilities by the temperature that :func:`tune_instructions` has kept with the
        model for a task of this name, if there is one (default); or not.
    %(ch_names_array)s
    %(sfreq_array)s
    %(unit_array)s
    %(on_missing)s
    revision : str | None
        Revision of a model on the hub: a branch, tag or commit.
    %(device)s
    %(dtype)s
    %(batch_size)s
    %(verbose)s

    Returns
    -------
    proba : dict of str to pandas.DataFrame
        For each task, by name, the probabilities of its answers: a row for each epoch, a column for
        each label, in the task's order. Rows add up to 1. ``proba[name].idxmax(axis=1)`` are the
        likeliest labels.

    Raises
    ------
    ValueError
        If there is no task, two have the same name, one is unknown or too long for the model, the
        EEG does not suit the model, or a parameter is not allowed.

    See Also
    --------
    NeuroLMClassifier : Tunes the model on a task, and measures how well it answers.
    tune_instructions : Tunes one model on many tasks.

    Notes
    -----
    A question on which the model was not tuned has an answer too, which is a guess. And of a task's
    answers one has the most probability also where none of them applies.

    Examples
    --------
    >>> from mne_neurolm import Task, ask
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> eyes = Task("eyes", "Are the eyes open or closed?", {"EO": "open", "EC": "closed"})
    >>> proba = ask("tiny-joint", epochs, ["workload", "hmc", eyes])
    >>> {name: table.shape for name, table in proba.items()}
    {'workload': (4, 2), 'hmc': (4, 5), 'eyes': (4, 2)}
    >>> proba["hmc"].columns.tolist()
    ['W', 'N1', 'N2', 'N3', 'R']
    """
    import pandas as pd

    if calibration not in CALIBRATION:
        raise ValueError(f"calibration must be one of {CALIBRATION}; got {calibration!r}.")
    if index(batch_size) < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    asked = [get_task(task) for task in ([tasks] if isinstance(tasks, str | Task) else tasks)]
    names = [task.name for task in asked]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not asked or twice:
        raise ValueError(
            f"tasks must be one or more, of different names; got {names}. To ask one of them in "
            "several wordings, name them: dataclasses.replace(task.phrased(1), name=...)."
        )
    loaded = load_language_model(model, revision=revision)
    loaded.to(resolve_device(device))
    words = loaded.text_tokenizer
    assert words is not None, "a language model is loaded with one"
    questions = [task.encode(words, loaded.config.sep_token_id) for task in asked]
    progress = shows_progress(verbose)
    tokens = as_tokens(
        X,
        loaded,
        loaded.encoder_id(),
        batch_size=batch_size,
        dtype=dtype,
        progress=progress,
        ch_names=ch_names,
        sfreq=sfreq,
        unit=unit,
        on_missing=on_missing,
        verbose=verbose,
    )
    for name, question in zip(names, questions, strict=True):
        try:
            check_question(loaded, torch.from_numpy(tokens.times), question)
        except ValueError as error:
            raise ValueError(f"Task {name!r}: {error}") from error
    scores = score_answers(
        loaded, tokens, questions, batch_size=batch_size, dtype=dtype, progress=progress
    )
    temperatures = loaded.config.temperatures if calibration == "auto" else {}
    proba = {}
    for task, log_probs in zip(asked, scores, strict=True):
        # Labels may be tuples, of which pandas would make an index of several levels.
        labels = pd.Index(list(task.labels), tupleize_cols=False)
        table = calibrated(log_probs, temperatures.get(task.name, 1.0))
        proba[task.name] = pd.DataFrame(table, columns=labels)
    return proba
