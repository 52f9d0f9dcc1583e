"""Stage 3: instruction tuning over one or several tasks at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..models.hub import load_model
from ..models.neurolm import NeuroLM
from ..models.text import encode_text
from ..tasks import Task, get_task
from ..tokens import EEGTokens
from ..utils.device import resolve_device
from .config import INSTRUCTION_DEFAULTS, TrainingConfig
from .data import TokensSource
from .hidden_cache import HiddenCache, as_cache, cached_tokens
from .instruction_stage import InstructionStage
from .memory import IN_MEMORY, per_gpu, set_windows
from .plan import Plan, Windows
from .recorder import Recorder
from .sampling import make_plan, weights_of
from .task_trainer import BestWeights, TaskTrainer
from .tuning_config import TuningConfig

# The keys of Mapping are invariant: a dict with only names, or only tasks, is welcome too.
_Data = (
    Mapping[str, tuple[Any, Any]]
    | Mapping[Task, tuple[Any, Any]]
    | Mapping[str | Task, tuple[Any, Any]]
)


class _Set(NamedTuple):
    """Samples of one task, which is given by its number."""

    task: int
    tokens: EEGTokens
    labels: np.ndarray


def tune_instructions(
    data: _Data,
    model: str | NeuroLM = "tiny",
    *,
    text: str | None = None,
    shuffle_options: bool = False,
    tune: str = "full",
    sampling: str = "size",
    sampling_temperature: float = 2.0,
    task_weights: Mapping[str, float] | None = None,
    class_balanced: bool = False,
    mix_tasks: bool = True,
    phrasings: bool = True,
    validation: _Data | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    calibration: str | None = None,
    cache: str | Path | HiddenCache | None = None,
    channel_dropout: float = 0.0,
    mixup: float = 0.0,
    label_smoothing: float = 0.0,
    contrast: float = 1.0,
    average: float = 0.0,
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
    tune : "full" | "lora" | "head"
        What is trained: the whole language model (default); low-rank adapters beside its matrices
        (needs ``peft``), which are merged at the end; or its last transformer block with what
        follows it.
    sampling : "size" | "balanced" | "temperature"
        Share of each task, of n epochs, in what is trained on: proportional to n (default), the
        same for all, or proportional to ``n ** (1 / sampling_temperature)`` (Raffel et al. 2020,
        section 3.5.2).
    sampling_temperature : float
        For ``sampling="temperature"``: 1 is ``"size"``, large values approach ``"balanced"``.
        Default 2.
    task_weights : mapping of str to float | None
        Factor on a task's share, by name, such as ``{"group": 0.3}``: below 1 for a task that makes
        the others worse. Often the cause is answers in the same words, such as "No" and "Yes"; give
        each task words of its own first. Default None: 1 for all.
    class_balanced : bool
        Let the classes of a task have the same share. Default False.
    mix_tasks : bool
        Deal the epochs of all tasks evenly over the steps (default); the released code shuffles
        them together and pads. Within a step each epoch's answer counts by its tokens. False: steps
        of one task, which leave each task to undo what the others did. They need fewer forward
        passes: a step has one for each task, montage and length in it, which costs time on GPUs
        when batches are small, or with sharded weights.
    phrasings : bool
        Ask in one of the task's wordings, drawn for every batch. Default True; False asks in the
        question's own only.
    validation : mapping of task to (X, y) | None
        EEG of other people, as in ``data``, of all tasks or some. It is answered after every pass.
        None (default): no validation.
    patience : int | None
        A task that has not improved on its validation data for this many passes in a row is left
        out of those that follow; tuning ends when all are. The weights of the pass with the best
        mean over the tasks are kept. Tasks without validation data stay to the end. Default None:
        all ``config.max_epochs``, and the weights of the last.
    monitor : "loss" | "balanced_accuracy"
        What must improve: negative log-likelihood of the right answers among the task's, as a share
        of chance's (default), or balanced accuracy.
    calibration : "temperature" | None
        Fit a temperature per task on its validation data (Guo et al. 2017) and keep it as
        ``model.config.temperatures[task name]``, where :class:`NeuroLMClassifier` with
        ``tune=None`` finds it, also after saving and loading. Default None.
    cache : str | pathlib.Path | HiddenCache | None
        Folder in which the frozen encoder's hidden states are kept, so that it runs once for the
        same EEG. Default None: no cache.
    channel_dropout : float
        Probability that a channel's tokens are left out of a batch. Default 0.
    mixup : float
        Mix the hidden states of each epoch with those of another of its task, montage and length,
        and its answer too, in a share that is drawn for each batch from Beta(mixup, mixup) (Zhang
        et al. 2018; Verma et al. 2019). The epoch itself keeps half or more. Default 0: no mixing.
    label_smoothing : float
        Weight that is taken from the right answer and spread over all of the task's. Default 0.
    contrast : float
        Weight of the right answer's log-probability among the task's answers, beside that as text.
        Default 1; the paper has 0 (Eq. 10).
    average : float
        Decay of an exponential moving average of the weights, such as 0.99; the average is what is
        validated and returned. After t steps it is at most (1 + t) / (10 + t), so that 0.98 and
        0.99 are the same in the first 440 steps. Default 0: the weights as they are.
    config : TrainingConfig | None
        None: Table 9 with the batches of one GPU.
    device : str
        Where to train. Default ``"auto"``.

    Returns
    -------
    model : NeuroLM
        A tuned copy, in evaluation mode, to be given to :class:`NeuroLMClassifier` with
        ``tune=None``, one classifier per task, or to :func:`ask`. ``model.history`` holds the
        losses per pass, those of the validation data as ``val_<task>_loss`` and
        ``val_<task>_balanced_accuracy``.

    Raises
    ------
    ValueError
        If there is no task or no epoch, a label does not belong to its task, X and y differ in
        length, tokens come from another encoder, two tasks have the same name, a parameter is not
        allowed, or ``patience`` or ``calibration`` is asked for without ``validation``.
    ImportError
        If ``tune="lora"`` and ``peft`` is not installed.

    Notes
    -----
    Which epochs a batch has is a function of ``config.seed`` and the step, whatever is left out.

    Examples
    --------
    >>> from mne_neurolm import Task, tune_instructions
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.training import TrainingConfig
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> states = epochs.metadata["state"]
    >>> y = states.map({"rest": "No", "active": "Yes"})
    >>> eyes = Task("eyes", "Are the eyes open or closed?", {"rest": "closed", "active": "open"})
    >>> config = TrainingConfig(max_epochs=1, batch_size=8, progress=False)
    >>> model = tune_instructions({"workload": (epochs, y), eyes: (epochs, states)}, config=config)
    >>> len(model.history), sorted(model.history[0])
    (1, ['answer', 'answer_accuracy', 'loss'])
    """
    if not data:
        raise ValueError("No data: pass {task: (X, y), ...} with at least one task.")
    values: dict[str, Any] = {  # checked by the settings themselves
        "tune": tune,
        "sampling": sampling,
        "sampling_temperature": sampling_temperature,
        "task_weights": tuple(f"{k}={weight}" for k, weight in (task_weights or {}).items()),
        "class_balanced": class_balanced,
        "mix_tasks": mix_tasks,
        "phrasings": phrasings,
        "patience": patience,
        "monitor": monitor,
        "calibration": calibration,
        "channel_dropout": channel_dropout,
        "mixup": mixup,
        "label_smoothing": label_smoothing,
        "contrast": contrast,
        "average": average,
    }
    tuning = TuningConfig(**values)
    if tuning.needs_validation and not validation:
        raise ValueError(
            "patience and calibration need validation={task: (X, y), ...}, of people who are not "
            "in the data."
        )
    model = copy.deepcopy(load_model(model))
    model._require_language_model()
    config = config or per_gpu(INSTRUCTION_DEFAULTS)
    model.to(resolve_device(device))
    tasks = [get_task(task) for task in data]
    store = as_cache(cache)
    sets = _make_sets(model, tasks, data, store)
    held_out = _make_sets(model, tasks, validation or {}, store)
    stage = InstructionStage(
        model, tasks, shuffle_options=shuffle_options, tuning=tuning, seed=config.seed
    )
    windows = _windows(sets)
    plan = make_plan(
        windows,
        config.batch_size,
        config.seed,
        sampling=sampling,
        temperature=sampling_temperature,
        class_balanced=class_balanced,
        mix_tasks=mix_tasks,
        weights=weights_of([task.name for task in tasks], tuning.weight_by_task),
    )
    corpus = None if text is None else np.asarray(encode_text(model.text_tokenizer, text))
    trainer = TaskTrainer(
        stage,
        TokensSource([s.tokens for s in sets], windows, plan, weights=stage.weights),
        config,
        validation=_validation(held_out, stage, config) if held_out else None,
        text=corpus,
        runtime=IN_MEMORY,
        recorder=Recorder() if patience is None else BestWeights(),
    )
    model.history = trainer.fit()
    trainer.conclude()
    return model


def _make_sets(
    model: NeuroLM, tasks: Sequence[Task], data: _Data, cache: HiddenCache | None
) -> list[_Set]:
    encoder_id = model.encoder_id()
    numbers = {task.name: number for number, task in enumerate(tasks)}
    sets = []
    for key, (X, y) in data.items():
        task = get_task(key)
        if task.name not in numbers:
            raise ValueError(
                f"There is validation data for task {task.name!r}, but no data to train on; tasks "
                f"are {list(numbers)}."
            )
        known = tasks[numbers[task.name]]
        if list(task.answers.items()) != list(known.answers.items()):
            raise ValueError(
                f"Task {task.name!r} has the answers {dict(task.answers)} for validation and "
                f"{dict(known.answers)} for training; pass the same task."
            )
        tokens = cached_tokens(X, model, encoder_id, cache=cache)
        if not len(tokens):
            raise ValueError(f"Task {task.name!r} has no epochs; leave it out, or pass some.")
        labels = task.label_indices(y)
        if len(labels) != len(tokens):
            raise ValueError(f"Task {task.name!r}: {len(tokens)} epochs, but {len(labels)} labels.")
        sets.append(_Set(numbers[task.name], tokens, labels))
    return sets


def _windows(sets: Sequence[_Set]) -> Windows:
    return set_windows(
        [
            (s.tokens.channels[: s.tokens.n_channels].tolist(), s.tokens.n_seconds, s.task)
            for s in sets
        ],
        [len(s.labels) for s in sets],
        [s.labels for s in sets],
    )


def _validation(
    sets: Sequence[_Set], stage: InstructionStage, config: TrainingConfig
) -> TokensSource:
    windows = _windows(sets)
    return TokensSource(
        [s.tokens for s in sets],
        windows,
        Plan(windows.bucket, config.batch_size, None),
        weights=stage.weights,
        of_all=True,
    )
